//! gRPC-web, as a browser speaks it, byte by byte on the HTTP socket.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

mod common;

use common::{ask_small, start};
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use understudy_proto::v1::{GenerateEvent, GenerateRequest, generate_event::Event};

/// One call over a connection of its own: the head of the response, and its body without chunk marks.
async fn call(address: std::net::SocketAddr, path: &str, message: &GenerateRequest) -> (String, Vec<u8>) {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap();
    let frame = [&[0], length.to_be_bytes().as_slice(), &message].concat();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/grpc-web+proto\r\nX-Grpc-Web: 1\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        frame.len()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&[head.as_bytes(), &frame].concat()).await.unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await.unwrap();
    let end = response.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let (head, mut rest) = (String::from_utf8(response[..end].to_vec()).unwrap(), &response[end + 4..]);
    if !head.to_lowercase().contains("transfer-encoding: chunked") {
        return (head, rest.to_vec());
    }
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if length == 0 {
            return (head, body);
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + length]);
        rest = &rest[line + 4 + length..];
    }
}

/// The messages, and the trailer.
fn frames(mut body: &[u8]) -> (Vec<GenerateEvent>, String) {
    let (mut events, mut trailer) = (Vec::new(), String::new());
    while !body.is_empty() {
        let length = u32::from_be_bytes(body[1..5].try_into().unwrap()) as usize;
        let payload = &body[5..5 + length];
        match body[0] & 0x80 {
            0 => events.push(GenerateEvent::decode(payload).unwrap()),
            _ => trailer.push_str(std::str::from_utf8(payload).unwrap()),
        }
        body = &body[5 + length..];
    }
    (events, trailer)
}

#[tokio::test]
async fn a_browser_gets_an_answer() {
    let harness = start("").await;
    let path = "/understudy.v1.Inference/Generate";
    let (head, body) = call(harness.addresses.http, path, &ask_small("2+2")).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let (events, trailer) = frames(&body);
    let Some(Event::Finished(finished)) = events.last().unwrap().event.clone() else { panic!("no end") };
    assert_eq!(finished.text, "4");
    assert!(trailer.contains("grpc-status:0"), "{trailer:?}");
}

#[tokio::test]
async fn a_browser_hears_a_refusal() {
    let harness = start("").await;
    let path = "/understudy.v1.Inference/Generate";
    let (head, body) = call(harness.addresses.http, path, &GenerateRequest::default()).await;
    let told = format!("{head}{}", frames(&body).1);
    assert!(told.contains("grpc-status:3") || told.contains("grpc-status: 3"), "{told}");
}

#[tokio::test]
async fn other_paths_are_pages() {
    let harness = start("").await;
    let (head, _) = call(harness.addresses.http, "/understudy.v1.Nothing/Generate", &ask_small("2+2")).await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
}
