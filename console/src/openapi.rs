//! The interface's description, from the handlers; the browser's types are generated from it.

use crate::api;
use axum::Json;
use utoipa::OpenApi;

/// The whole REST interface.
#[derive(OpenApi)]
#[openapi(
    info(title = "Gatehouse", description = "REST interface of the Gatehouse console."),
    paths(
        api::session::sign_in,
        api::session::show,
        api::session::sign_out,
        api::session::change_password,
        api::preference::show,
        api::preference::update,
        api::place::list,
        api::device::list,
        api::device::command,
        api::device::list_commands,
        api::device::show_command,
        api::device::cancel_command,
        api::telemetry::show,
        api::telemetry::export,
        api::recording::show,
        api::recording::playback,
        api::recording::export,
        api::ptz::show,
        api::ptz::drive,
        api::ptz::stop,
        api::ptz::turn,
        api::ptz::store,
        api::ptz::forget,
        api::discover::search,
        api::alarm::list,
        api::alarm::show,
        api::alarm::acknowledge,
        api::alarm::shelve,
        api::alarm::unshelve,
        api::alarm::comment,
        api::alarm::open_work_order,
        api::alarm::step,
        api::event::list,
        api::event::export,
        api::passage::list,
        api::passage::export,
        api::passage::decide,
        api::access::list,
        api::access::levels,
        api::people::list,
        api::people::show,
        api::people::create,
        api::people::update,
        api::people::delete,
        api::people::add_credential,
        api::people::remove_credential,
        api::people::undo_credential,
        api::people::add_face,
        api::people::delete_face,
        api::work_order::list,
        api::work_order::create,
        api::work_order::transition,
        api::patrol::routes,
        api::patrol::create_route,
        api::patrol::update_route,
        api::patrol::delete_route,
        api::patrol::undelete_route,
        api::patrol::rounds,
        api::patrol::export,
        api::patrol::begin,
        api::patrol::round,
        api::patrol::end,
        api::patrol::look,
        api::patrol::attest,
        api::rule::list,
        api::rule::create,
        api::rule::words,
        api::rule::check,
        api::rule::dry_run,
        api::rule::show,
        api::rule::update,
        api::rule::delete,
        api::rule::undelete,
        api::rule::enable,
        api::rule::versions,
        api::rule::restore,
        api::health::show,
        api::actor::restart,
        api::backup::show,
        api::backup::begin,
        api::webhook::list,
        api::webhook::update,
        api::webhook::test,
        api::webhook::deliveries,
        api::webhook::send_all_again,
        api::webhook::send_again,
        api::user::list,
        api::user::create,
        api::user::update,
        api::audit::list,
        api::demo::stories,
        api::demo::play,
    ),
    components(schemas(crate::error::ErrorEnvelope))
)]
pub struct Description;

/// `GET /api/openapi.json`.
pub async fn serve() -> Json<utoipa::openapi::OpenApi> {
    Json(Description::openapi())
}

/// The description as committed: pretty JSON, a line feed at the end.
pub fn text() -> String {
    let mut text = Description::openapi().to_pretty_json().expect("a description of strings and maps serialises");
    text.push('\n');
    text
}
