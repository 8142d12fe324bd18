//! `POST /api/v2/event`.

use actix_web::{HttpRequest, HttpResponse, web};

use super::answers::{UNSET, error};
use super::shared::Shared;

pub(super) async fn publish(
    _request: HttpRequest,
    body: web::Bytes,
    _shared: web::Data<Shared>,
) -> HttpResponse {
    if body.is_empty() {
        return error(
            400,
            "Empty Request",
            "no events were provided to be published",
            UNSET,
        );
    }
    error(
        500,
        "failed ProduceAnyEvents",
        "publishing is not acted out yet",
        UNSET,
    )
}
