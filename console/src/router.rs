//! Every route with the permission it needs, in one table; a route cannot exist without its line there.

use crate::app::App;
use crate::auth::{self, SignedIn};
use crate::error::ApiError;
use crate::rbac::Permission;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::handler::Handler;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use std::sync::Arc;

/// Largest body of an ordinary request, bytes.
const BODY_LIMIT: usize = 256 * 1024;

/// Put into an answer that has its audit row already: it goes on with something, as a move of a camera that is held, or its
/// handler wrote one that says more.
#[derive(Clone, Copy, Debug)]
pub struct GoesOn;

/// One line of the authorisation table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// HTTP method.
    pub method: Method,
    /// Path with `{parameters}`.
    pub path: &'static str,
    /// The permission that a caller needs.
    pub permission: Permission,
}

/// Collects routes and the table of what they need.
pub struct Routes {
    app: Arc<App>,
    router: Router<Arc<App>>,
    table: Vec<Route>,
    pass: Option<fn(&App, &Request) -> bool>,
}

impl Routes {
    /// No routes yet.
    pub fn new(app: Arc<App>) -> Self {
        Self { app, router: Router::new(), table: Vec::new(), pass: None }
    }

    /// Adds a route that only callers with `permission` reach.
    pub fn add<H, T>(self, method: Method, path: &'static str, permission: Permission, handler: H) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.add_limited(method, path, permission, handler, DefaultBodyLimit::max(BODY_LIMIT))
    }

    /// Adds a route that, besides callers with `permission`, requests reach which `pass` lets through.
    pub fn add_with_pass<H, T>(
        mut self,
        method: Method,
        path: &'static str,
        permission: Permission,
        pass: fn(&App, &Request) -> bool,
        handler: H,
    ) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.pass = Some(pass);
        let mut routes = self.add(method, path, permission, handler);
        routes.pass = None;
        routes
    }

    /// Adds a route whose body may be larger than the usual.
    pub fn add_limited<H, T>(
        mut self,
        method: Method,
        path: &'static str,
        permission: Permission,
        handler: H,
        limit: DefaultBodyLimit,
    ) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).expect("the table uses ordinary methods");
        let guard = Guard { app: self.app.clone(), permission, path, pass: self.pass };
        let route = on(filter, handler).layer(limit).layer(middleware::from_fn_with_state(guard, check));
        self.router = self.router.route(path, route);
        self.table.push(Route { method, path, permission });
        self
    }

    /// The router, and the table it was made from.
    pub fn finish(self) -> (Router, Vec<Route>) {
        let router = self
            .router
            .fallback(|| async { ApiError::not_found("page") })
            .method_not_allowed_fallback(|| async {
                ApiError::new(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "method_not_allowed",
                    "this path does not take that method",
                )
            })
            .layer(middleware::from_fn(crate::dist::secure_headers))
            .with_state(self.app);
        (router, self.table)
    }
}

#[derive(Clone)]
struct Guard {
    app: Arc<App>,
    permission: Permission,
    path: &'static str,
    /// Lets requests through that need no session.
    pass: Option<fn(&App, &Request) -> bool>,
}

/// Answers a request of the API; it is noted down for traces by the template of its path, never by what stands in it.
async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    if !guard.app.system().trace().is_on() || !guard.path.starts_with("/api/") {
        return judge(guard, request, next).await;
    }
    let (app, path) = (guard.app.clone(), guard.path);
    // The methods of HTTP are few: what another client makes up is none of them, and has no route.
    let method = match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "_OTHER",
    };
    let answer = judge(guard, request, next);
    app.system().trace().request(method, path, answer, |response| response.status().as_u16()).await
}

/// Lets a request through when its session may, its origin is ours, and (for a change) writes the audit row.
async fn judge(guard: Guard, mut request: Request, next: Next) -> Response {
    let upgrade = request.headers().contains_key(header::UPGRADE);
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    if (changes || upgrade) && !origin_is_ours(request.headers(), &guard.app, upgrade) {
        return ApiError::new(StatusCode::FORBIDDEN, "foreign_origin", "the request comes from another site")
            .remedy("open the console at its own address, or add this one to `origins` in the configuration")
            .into_response();
    }
    if guard.permission == Permission::Public || guard.pass.is_some_and(|pass| pass(&guard.app, &request)) {
        return next.run(request).await;
    }
    let signed_in = match auth::signed_in(&guard.app, request.headers()).await {
        Ok(Some(signed_in)) => signed_in,
        Ok(None) => return ApiError::unauthenticated().into_response(),
        Err(error) => return error.into_response(),
    };
    if !signed_in.role.may(guard.permission) {
        return ApiError::forbidden(guard.permission.word()).into_response();
    }
    let (method, target) = (request.method().clone(), request.uri().path().to_owned());
    request.extensions_mut().insert(signed_in.clone());
    let response = next.run(request).await;
    // Checking and trying a rule are POSTs because of their body; they change nothing and leave no row.
    let goes_on = response.extensions().get::<GoesOn>().is_some();
    if changes && guard.permission != Permission::RuleRead && !goes_on {
        record(&guard, &signed_in, &method, &target, response.status()).await;
    }
    response
}

async fn record(guard: &Guard, by: &SignedIn, method: &Method, target: &str, status: StatusCode) {
    let action = format!("{method} {}", guard.path);
    if let Err(error) = guard.app.audit(&by.name, &action, target, status.as_str()).await {
        tracing::error!(%error, %action, "Audit row could not be written");
    }
}

/// Whether the request's `Origin` is the address it was sent to or a configured one. A WebSocket must carry one; another
/// change without one (curl, a script) must carry an `Idempotency-Key`, which a foreign page cannot send unasked.
fn origin_is_ours(headers: &HeaderMap, app: &App, upgrade: bool) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match (text(header::ORIGIN), text(header::HOST)) {
        (Some(origin), Some(host)) => {
            let own = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            (own == Some(host) && app.host_is_known(host)) || app.origins().iter().any(|known| known == origin)
        }
        (None, _) => !upgrade && headers.contains_key("idempotency-key"),
        (Some(_), None) => false,
    }
}
