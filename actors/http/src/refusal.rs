//! A refusal as a response, in the words of a dialect.

use std::marker::PhantomData;

use axum::{
    Json,
    extract::OriginalUri,
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use understudy_gateway::{Failure, pages};

use crate::{ollama::Ollama, openai::OpenAi};

/// How an API words its refusals.
pub(crate) trait Dialect {
    /// Of a request.
    fn body(failure: &Failure) -> Value;
    /// Of a path or method that the API does not have.
    fn no_such_call(message: &str) -> Value;
}

/// A refusal as a response.
pub(crate) struct Refusal<D> {
    // In a box: handlers return it as an error.
    response: Box<Response>,
    dialect: PhantomData<D>,
}

impl<D> Refusal<D> {
    fn of(response: Response) -> Self {
        Self { response: Box::new(response), dialect: PhantomData }
    }
}

impl<D: Dialect> From<Failure> for Refusal<D> {
    fn from(failure: Failure) -> Self {
        Self::of(worded::<D>(&failure))
    }
}

fn worded<D: Dialect>(failure: &Failure) -> Response {
    pages::refusal(failure, Json(D::body(failure)))
}

/// What the node's door says in place of the page at this path.
pub(crate) fn in_place_of(path: &str, failure: &Failure) -> Response {
    match path {
        _ if path.starts_with("/v1/") => worded::<OpenAi>(failure),
        _ if path.starts_with("/api/") => worded::<Ollama>(failure),
        _ => pages::plain(failure),
    }
}

impl<D> IntoResponse for Refusal<D> {
    fn into_response(self) -> Response {
        *self.response
    }
}

/// There is no such path.
pub(crate) async fn unknown<D: Dialect>(OriginalUri(uri): OriginalUri) -> Refusal<D> {
    no_such_call(StatusCode::NOT_FOUND, &format!("there is no {}", uri.path()))
}

/// The path has other methods.
pub(crate) async fn wrong_method<D: Dialect>(OriginalUri(uri): OriginalUri, method: Method) -> Refusal<D> {
    no_such_call(StatusCode::METHOD_NOT_ALLOWED, &format!("{} does not take {method}", uri.path()))
}

fn no_such_call<D: Dialect>(status: StatusCode, message: &str) -> Refusal<D> {
    Refusal::of((status, Json(D::no_such_call(message))).into_response())
}
