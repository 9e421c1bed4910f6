//! grpc.health.v1 against a server on hyper.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::*;
use crate::model::GrpcProbe;

/// Knows the services "up", "down" and "", and answers as a gRPC server does.
async fn answer(
    request: Request<Incoming>,
) -> hyper::Result<Response<http_body_util::combinators::BoxBody<Bytes, hyper::Error>>> {
    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
    assert_eq!(request.headers()["te"], "trailers");
    let body = request.into_body().collect().await?.to_bytes();
    let service = body.get(7..).unwrap_or_default();
    let (state, status) = match service {
        b"" | b"up" => (Some(1_u8), "0"),
        b"down" => (Some(2), "0"),
        b"sick" => (None, "14"),
        b"old" => (None, "12"),
        _ => (None, "5"),
    };
    let mut headers = HeaderMap::new();
    headers.insert("grpc-status", status.parse().unwrap());
    headers.insert("grpc-message", "as asked".parse().unwrap());
    let response = Response::builder().header("content-type", "application/grpc+proto");
    let infallible = |never: std::convert::Infallible| match never {};
    Ok(match state {
        Some(state) => {
            let message = Full::new(Bytes::from(vec![0, 0, 0, 0, 2, 8, state]));
            let body = message.with_trailers(async move { Some(Ok(headers)) });
            response.body(body.map_err(infallible).boxed()).unwrap()
        }
        None => {
            let mut response = response.body(Full::default().map_err(infallible).boxed()).unwrap();
            response.headers_mut().extend(headers);
            response
        }
    })
}

async fn server() -> SocketAddr {
    serve(|stream| async move {
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = connection.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
    })
    .await
}

fn about(service: &str) -> Probe {
    Probe::Grpc(GrpcProbe { tls: None, service: service.into(), host: None })
}

#[tokio::test]
async fn serving_is_good_and_everything_else_is_named() {
    let at = server().await;
    good(ask(about(""), at).await);
    good(ask(about("up"), at).await);
    assert_eq!(bad(ask(about("down"), at).await), "NOT_SERVING about \"down\", expected SERVING");
    assert_eq!(bad(ask(about("what"), at).await), "the server does not know service \"what\" (NOT_FOUND)");
    assert_eq!(bad(ask(about("old"), at).await), "the server does not have grpc.health.v1 (UNIMPLEMENTED)");
    assert_eq!(bad(ask(about("sick"), at).await), "grpc-status 14 about \"sick\": as asked");
}

#[tokio::test]
async fn a_web_server_is_no_grpc_server() {
    async fn web(_: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
        Ok(Response::builder().header("content-type", "text/html").body(Full::new(Bytes::from("hello"))).unwrap())
    }
    let at = serve(|stream| async move {
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = connection.serve_connection(TokioIo::new(stream), service_fn(web)).await;
    })
    .await;
    assert_eq!(bad(ask(about(""), at).await), "the answer is no gRPC but \"text/html\"");
}

#[tokio::test]
async fn a_message_without_end_is_cut_short() {
    async fn endless(
        _: Request<Incoming>,
    ) -> hyper::Result<Response<http_body_util::combinators::BoxBody<Bytes, hyper::Error>>> {
        struct Endless;
        impl hyper::body::Body for Endless {
            type Data = Bytes;
            type Error = hyper::Error;
            fn poll_frame(
                self: Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
                std::task::Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; 1024])))))
            }
        }
        Ok(Response::builder().header("content-type", "application/grpc").body(Endless.boxed()).unwrap())
    }
    let at = serve(|stream| async move {
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = connection.serve_connection(TokioIo::new(stream), service_fn(endless)).await;
    })
    .await;
    assert_eq!(bad(ask(about(""), at).await), "the answer has no grpc-status");
}
