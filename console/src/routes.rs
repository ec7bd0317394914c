//! The authorisation table: every route, the permission it needs, its handler.

use crate::app::App;
use crate::auth::SignedIn;
use crate::rbac::Permission as P;
use crate::router::{Route, Routes};
use crate::ws::session::Connection;
use crate::{api, dist, media};
use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::http::Method;
use axum::response::Response;
use gatehouse_vision::enrol::PHOTOS_MAX;
use std::sync::Arc;

/// Photographs of a face enrolment, all together, bytes.
const PHOTOS_LIMIT: usize = 25 * 1024 * 1024;

/// The console's router, and the table it was made from.
pub fn build(app: Arc<App>) -> (Router, Vec<Route>) {
    const GET: Method = Method::GET;
    const POST: Method = Method::POST;
    const PUT: Method = Method::PUT;
    const DELETE: Method = Method::DELETE;
    Routes::new(app)
        .add(GET, "/", P::Public, dist::index)
        .add(GET, "/{*path}", P::Public, dist::asset)
        .add(GET, "/api/openapi.json", P::Public, crate::openapi::serve)
        .add(POST, "/api/session", P::Public, api::session::sign_in)
        .add(GET, "/api/session", P::Session, api::session::show)
        .add(DELETE, "/api/session", P::Session, api::session::sign_out)
        .add(POST, "/api/session/password", P::Session, api::session::change_password)
        .add(GET, "/api/me/preferences", P::Session, api::preference::show)
        .add(PUT, "/api/me/preferences", P::Session, api::preference::update)
        .add(GET, "/api/places", P::DeviceRead, api::place::list)
        .add(GET, "/api/devices", P::DeviceRead, api::device::list)
        .add(GET, "/api/devices/{id}/telemetry", P::DeviceRead, api::telemetry::show)
        .add(GET, "/api/devices/{id}/telemetry.csv", P::DeviceRead, api::telemetry::export)
        .add(POST, "/api/devices/{id}/commands", P::DeviceCommand, api::device::command)
        .add(GET, "/api/commands", P::DeviceRead, api::device::list_commands)
        .add(GET, "/api/commands/{id}", P::DeviceRead, api::device::show_command)
        .add(POST, "/api/commands/{id}/cancel", P::DeviceCommand, api::device::cancel_command)
        .add(GET, "/api/alarms", P::AlarmRead, api::alarm::list)
        .add(GET, "/api/alarms/{id}", P::AlarmRead, api::alarm::show)
        .add(POST, "/api/alarms/{id}/ack", P::AlarmHandle, api::alarm::acknowledge)
        .add(POST, "/api/alarms/{id}/shelve", P::AlarmHandle, api::alarm::shelve)
        .add(POST, "/api/alarms/{id}/unshelve", P::AlarmHandle, api::alarm::unshelve)
        .add(POST, "/api/alarms/{id}/comment", P::AlarmHandle, api::alarm::comment)
        .add(POST, "/api/alarms/{id}/work-order", P::AlarmHandle, api::alarm::open_work_order)
        .add(POST, "/api/alarms/{id}/steps/{step}", P::AlarmHandle, api::alarm::step)
        .add(GET, "/api/events", P::DeviceRead, api::event::list)
        .add(GET, "/api/events.csv", P::DeviceRead, api::event::export)
        .add(GET, "/api/passages", P::AccessRead, api::passage::list)
        .add(GET, "/api/passages.csv", P::AccessRead, api::passage::export)
        .add(GET, "/api/passages/{id}", P::AccessRead, api::passage::show)
        .add(POST, "/api/passages/{id}/export", P::AccessRead, api::passage::export_one)
        .add(POST, "/api/passages/{id}/decision", P::AccessDecide, api::passage::decide)
        .add(PUT, "/api/passages/{id}/correction", P::AccessCorrect, api::passage::correct)
        .add(DELETE, "/api/passages/{id}/correction", P::AccessCorrect, api::passage::uncorrect)
        .add(GET, "/api/watch-lists", P::AccessRead, api::watchlist::list)
        .add(POST, "/api/watch-lists", P::WatchWrite, api::watchlist::create)
        .add(PUT, "/api/watch-lists/{id}", P::WatchWrite, api::watchlist::update)
        .add(DELETE, "/api/watch-lists/{id}", P::WatchWrite, api::watchlist::delete)
        .add(POST, "/api/watch-lists/{id}/undo", P::WatchWrite, api::watchlist::undelete)
        .add(GET, "/api/watch-lists/{id}/entries", P::AccessRead, api::watchlist::entries)
        .add(GET, "/api/watch-lists/{id}/entries.csv", P::AccessRead, api::watchlist::export)
        .add(POST, "/api/watch-lists/{id}/entries", P::WatchWrite, api::watchlist::add)
        .add_limited(
            POST,
            "/api/watch-lists/{id}/import",
            P::WatchWrite,
            api::watchlist::import,
            DefaultBodyLimit::max(api::watchlist::FILE_LIMIT),
        )
        .add(PUT, "/api/watch-entries/{id}", P::WatchWrite, api::watchlist::change)
        .add(DELETE, "/api/watch-entries/{id}", P::WatchWrite, api::watchlist::remove)
        .add(POST, "/api/watch-entries/{id}/undo", P::WatchWrite, api::watchlist::restore)
        .add(GET, "/api/access", P::AccessRead, api::access::list)
        .add(GET, "/api/levels", P::PeopleRead, api::access::levels)
        .add(GET, "/api/people", P::PeopleRead, api::people::list)
        .add(POST, "/api/people", P::PeopleWrite, api::people::create)
        .add(GET, "/api/people/{id}", P::PeopleRead, api::people::show)
        .add(PUT, "/api/people/{id}", P::PeopleWrite, api::people::update)
        .add(DELETE, "/api/people/{id}", P::PeopleWrite, api::people::delete)
        .add(POST, "/api/people/{id}/credentials", P::PeopleWrite, api::people::add_credential)
        .add(DELETE, "/api/credentials/{id}", P::PeopleWrite, api::people::remove_credential)
        .add(POST, "/api/credentials/{id}/undo", P::PeopleWrite, api::people::undo_credential)
        .add_limited(POST, "/api/people/{id}/face", P::PeopleWrite, api::face::add, DefaultBodyLimit::max(PHOTOS_LIMIT))
        .add(DELETE, "/api/people/{id}/face", P::PeopleWrite, api::face::remove)
        .add(POST, "/api/people/{id}/consent", P::PeopleWrite, api::face::consent)
        .add_limited(
            POST,
            "/api/people/{id}/face/check",
            P::PeopleWrite,
            api::face::check,
            DefaultBodyLimit::max(PHOTOS_LIMIT / PHOTOS_MAX),
        )
        .add(GET, "/api/face-notice", P::PeopleRead, api::face::notice)
        .add(GET, "/api/faces", P::PeopleWrite, api::face::overview)
        .add(GET, "/api/work-orders", P::WorkOrderRead, api::work_order::list)
        .add(POST, "/api/work-orders", P::WorkOrderWrite, api::work_order::create)
        .add(POST, "/api/work-orders/{id}/state", P::WorkOrderWrite, api::work_order::transition)
        .add(GET, "/api/patrol/routes", P::PatrolWalk, api::patrol::routes)
        .add(POST, "/api/patrol/routes", P::PatrolPlan, api::patrol::create_route)
        .add(PUT, "/api/patrol/routes/{id}", P::PatrolPlan, api::patrol::update_route)
        .add(DELETE, "/api/patrol/routes/{id}", P::PatrolPlan, api::patrol::delete_route)
        .add(POST, "/api/patrol/routes/{id}/undo", P::PatrolPlan, api::patrol::undelete_route)
        .add(GET, "/api/patrol/rounds", P::PatrolWalk, api::patrol::rounds)
        .add(GET, "/api/patrol/rounds.csv", P::PatrolWalk, api::patrol::export)
        .add(POST, "/api/patrol/rounds", P::PatrolWalk, api::patrol::begin)
        .add(GET, "/api/patrol/rounds/{id}", P::PatrolWalk, api::patrol::round)
        .add(POST, "/api/patrol/rounds/{id}/end", P::PatrolWalk, api::patrol::end)
        .add(POST, "/api/patrol/rounds/{id}/stops/{step}/picture", P::PatrolWalk, api::patrol::look)
        .add(POST, "/api/patrol/rounds/{id}/stops/{step}", P::PatrolWalk, api::patrol::attest)
        .add(GET, "/api/patrol/pictures/{file}", P::PatrolWalk, api::patrol::picture)
        .add(GET, "/api/rules", P::RuleRead, api::rule::list)
        .add(POST, "/api/rules", P::RuleWrite, api::rule::create)
        .add(GET, "/api/rules/words", P::RuleRead, api::rule::words)
        .add(POST, "/api/rules/check", P::RuleRead, api::rule::check)
        .add(POST, "/api/rules/dry-run", P::RuleRead, api::rule::dry_run)
        .add(GET, "/api/rules/{id}", P::RuleRead, api::rule::show)
        .add(PUT, "/api/rules/{id}", P::RuleWrite, api::rule::update)
        .add(DELETE, "/api/rules/{id}", P::RuleWrite, api::rule::delete)
        .add(POST, "/api/rules/{id}/undo", P::RuleWrite, api::rule::undelete)
        .add(POST, "/api/rules/{id}/enabled", P::RuleWrite, api::rule::enable)
        .add(GET, "/api/rules/{id}/versions", P::RuleRead, api::rule::versions)
        .add(POST, "/api/rules/{id}/restore", P::RuleWrite, api::rule::restore)
        .add(GET, "/api/health", P::HealthRead, api::health::show)
        .add(POST, "/api/actors/{key}/restart", P::SystemOperate, api::actor::restart)
        .add(GET, "/api/backup", P::HealthRead, api::backup::show)
        .add(POST, "/api/backup", P::BackupRun, api::backup::begin)
        // A scraper shows the token of the configuration instead of a session.
        .add_with_pass(GET, "/metrics", P::HealthRead, api::metrics::scraper, api::metrics::show)
        .add(GET, "/api/webhooks", P::HealthRead, api::webhook::list)
        .add(PUT, "/api/webhooks/{name}", P::SystemOperate, api::webhook::update)
        .add(POST, "/api/webhooks/{name}/test", P::SystemOperate, api::webhook::test)
        .add(GET, "/api/webhooks/{name}/deliveries", P::HealthRead, api::webhook::deliveries)
        .add(POST, "/api/webhooks/{name}/send-again", P::SystemOperate, api::webhook::send_all_again)
        .add(POST, "/api/deliveries/{id}/send-again", P::SystemOperate, api::webhook::send_again)
        .add(GET, "/api/users", P::UserManage, api::user::list)
        .add(POST, "/api/users", P::UserManage, api::user::create)
        .add(PUT, "/api/users/{id}", P::UserManage, api::user::update)
        .add(GET, "/api/audit", P::AuditRead, api::audit::list)
        .add(GET, "/api/demo/stories", P::DemoPlay, api::demo::stories)
        .add(POST, "/api/demo/play", P::DemoPlay, api::demo::play)
        // Shows the data directory's control token instead of a session.
        .add(POST, "/api/demo/control", P::Public, api::demo::play_by_token)
        .add(GET, "/api/cameras/{id}/snapshot.jpg", P::VideoRead, media::snapshot)
        .add(GET, "/api/cameras/{id}/recording", P::VideoRead, api::recording::show)
        .add(GET, "/api/cameras/{id}/playback.mp4", P::VideoRead, api::recording::playback)
        .add(GET, "/api/cameras/{id}/export.mp4", P::VideoRead, api::recording::export)
        .add(GET, "/api/cameras/{id}/ptz", P::DeviceRead, api::ptz::show)
        .add(POST, "/api/cameras/{id}/ptz/move", P::DeviceCommand, api::ptz::drive)
        .add(POST, "/api/cameras/{id}/ptz/stop", P::DeviceCommand, api::ptz::stop)
        .add(POST, "/api/cameras/{id}/ptz/position", P::DeviceCommand, api::ptz::turn)
        .add(POST, "/api/cameras/{id}/ptz/presets", P::DeviceCommand, api::ptz::store)
        .add(DELETE, "/api/cameras/{id}/ptz/presets/{token}", P::DeviceCommand, api::ptz::forget)
        .add(POST, "/api/cameras/discover", P::SystemOperate, api::discover::search)
        .add(GET, "/api/pictures/{file}", P::AccessRead, media::picture)
        .add(GET, "/api/clips/{file}", P::VideoRead, media::clip)
        .add(GET, "/ws", P::Session, live)
        .add(GET, "/ws/video/{id}", P::VideoRead, media::live)
        .finish()
}

/// `GET /ws`: the live feed.
async fn live(State(app): State<Arc<App>>, Extension(who): Extension<SignedIn>, upgrade: WebSocketUpgrade) -> Response {
    let connection = Connection {
        topics: app.feed().topics(),
        epoch: app.feed().epoch(),
        user: who.name,
        role: who.role,
        overlay: crate::ws::overlay::follow(&app),
        screen: crate::ws::screen::follow(&app),
        ended: who.ended,
    };
    upgrade.max_message_size(16 * 1024).on_upgrade(move |socket| connection.run(socket))
}
