//! A refusal as a response, in the words of a dialect.

use std::marker::PhantomData;

use axum::{
    Json,
    extract::OriginalUri,
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use understudy_gateway::Failure;

use crate::statuses;

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
    fn new(status: StatusCode, body: Value) -> Self {
        Self { response: Box::new((status, Json(body)).into_response()), dialect: PhantomData }
    }
}

impl<D: Dialect> From<Failure> for Refusal<D> {
    fn from(failure: Failure) -> Self {
        let mut refusal = Self::new(statuses::status(failure.code), D::body(&failure));
        statuses::hint_retry(&mut refusal.response, &failure);
        refusal
    }
}

impl<D> IntoResponse for Refusal<D> {
    fn into_response(self) -> Response {
        *self.response
    }
}

/// There is no such path.
pub(crate) async fn unknown<D: Dialect>(OriginalUri(uri): OriginalUri) -> Refusal<D> {
    Refusal::new(StatusCode::NOT_FOUND, D::no_such_call(&format!("there is no {}", uri.path())))
}

/// The path has other methods.
pub(crate) async fn wrong_method<D: Dialect>(OriginalUri(uri): OriginalUri, method: Method) -> Refusal<D> {
    let message = format!("{} does not take {method}", uri.path());
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, D::no_such_call(&message))
}
