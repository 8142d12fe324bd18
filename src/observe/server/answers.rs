//! What is answered to a request.

use std::cell::Cell;

use actix_http::body::BoxBody;
use actix_http::header::{self, HeaderName, HeaderValue};
use actix_http::{Method, Request, Response, StatusCode};

use super::connections::{NoFigures, Served};
use super::scrapes::Scrape;
use crate::observe::{health, page};

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

/// An answer that is not sent yet.
struct Answer {
    status: StatusCode,
    kind: &'static str,
    body: String,
}

impl Answer {
    fn new(status: StatusCode, kind: &'static str, body: String) -> Self {
        Self { status, kind, body }
    }

    fn text(status: StatusCode, line: impl ToString) -> Self {
        Self::new(status, TEXT, line.to_string() + "\n")
    }

    /// 200 or 503: what probes look at.
    fn health(is_good: bool, told: impl ToString) -> Self {
        let status = match is_good {
            true => StatusCode::OK,
            false => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::text(status, told)
    }

    fn no_figures(why: NoFigures) -> Self {
        Self::health(false, why)
    }
}

/// Answers, and notes a scrape that begins with it.
pub(super) async fn answer(
    served: &Served,
    request: &Request,
    scrape: &Cell<Option<Scrape>>,
) -> Response<BoxBody> {
    let path = request.path();
    if !["/", "/metrics", "/livez", "/readyz", "/status"].contains(&path) {
        let there_is = "not found; there is /, /metrics, /livez, /readyz and /status";
        return sent(Answer::text(StatusCode::NOT_FOUND, there_is), &[]);
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let told = "method not allowed: GET and HEAD are";
        let allow = (header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return sent(Answer::text(StatusCode::METHOD_NOT_ALLOWED, told), &[allow]);
    }
    match path {
        "/metrics" => {
            let begun = served.begin_scrape_of(request);
            let answer = metrics(served).await;
            if answer.status == StatusCode::OK {
                scrape.set(begun);
            }
            sent(answer, &[])
        }
        "/livez" => {
            let life = served.life();
            sent(Answer::health(life.is_alive(), life), &[])
        }
        "/readyz" => sent(readyz(served).await, &[]),
        "/status" => sent(status(served, is_pretty(request)).await, &[]),
        _ => sent(page(served).await, &page::headers()),
    }
}

impl Served {
    /// Somebody who only asks for the head learns nothing.
    fn begin_scrape_of(&self, request: &Request) -> Option<Scrape> {
        (request.method() == Method::GET).then(|| self.begin_scrape())
    }
}

fn is_pretty(request: &Request) -> bool {
    let query = request.uri().query().unwrap_or_default();
    let mut named = query.split('&').map(|pair| pair.split('=').next());
    named.any(|name| name == Some("pretty"))
}

async fn metrics(served: &Served) -> Answer {
    match served.rendered(|views| (views.metrics)()).await {
        Ok(text) => Answer::new(StatusCode::OK, METRICS, text),
        Err(why) => Answer::no_figures(why),
    }
}

async fn readyz(served: &Served) -> Answer {
    let reasons = served.rendered(|views| health::not_ready(&(views.snapshot)()));
    match reasons.await {
        Ok(reasons) if reasons.is_empty() => Answer::health(true, "ready"),
        Ok(reasons) => Answer::health(false, reasons.join("\n")),
        Err(why) => Answer::no_figures(why),
    }
}

async fn status(served: &Served, is_pretty: bool) -> Answer {
    let json = served.rendered(move |views| {
        let snapshot = (views.snapshot)();
        match is_pretty {
            true => serde_json::to_string_pretty(&snapshot),
            false => serde_json::to_string(&snapshot),
        }
    });
    match json.await {
        Ok(Ok(json)) => Answer::new(StatusCode::OK, JSON, json + "\n"),
        Ok(Err(error)) => Answer::text(StatusCode::INTERNAL_SERVER_ERROR, error),
        Err(why) => Answer::no_figures(why),
    }
}

async fn page(served: &Served) -> Answer {
    match served.rendered(|views| page::page(&(views.snapshot)())).await {
        Ok(html) => Answer::new(StatusCode::OK, HTML, html),
        Err(why) => Answer::no_figures(why),
    }
}

fn sent(answer: Answer, more: &[(HeaderName, HeaderValue)]) -> Response<BoxBody> {
    let mut response = Response::build(answer.status);
    response
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static(answer.kind)))
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .insert_header((
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ));
    for header in more {
        response.insert_header(header.clone());
    }
    response.body(answer.body).map_into_boxed_body()
}
