//! Charts of a device's points, and the same as CSV.

use super::csv;
use crate::app::App;
use crate::error::ApiError;
use crate::extract::{Ask, At};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use gatehouse_actors::telemetry::{Chart, ChartQuery, Line};
use gatehouse_actors::{Error, ErrorKind};
use gatehouse_core::id::DeviceId;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Buckets of a chart unless asked otherwise.
const POINTS: u32 = 600;
/// Most buckets of a chart.
const POINTS_MAX: u32 = 2_000;
/// The longest chart.
const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 366 * 10);

/// Which chart.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default)]
pub struct Query {
    /// Name of the point, e.g. `temperature`.
    pub point: String,
    /// Beginning, RFC 3339; a day before the end when left out.
    pub from: String,
    /// End, RFC 3339; now when left out.
    pub to: String,
    /// At most so many buckets, 10 to 2 000; 600 when left out.
    pub points: String,
}

/// A point over a span of time.
#[derive(Serialize, ToSchema)]
pub struct PointChart {
    /// The device.
    #[schema(value_type = String)]
    pub device: DeviceId,
    /// Its point.
    pub point: String,
    /// Unit of its numbers, empty when it has none.
    pub unit: String,
    /// `from`, `to`, `resolution` (`raw`, `1min`, `1h`, `1d`), `step_s`; then `kind`: `numbers` with `buckets` (`at`, `min`,
    /// `avg`, `max`, `last`, `count`; all null: a hole begins), or `states` with `stretches` (`from`, `to`, `state`, `mixed`).
    #[serde(flatten)]
    #[schema(value_type = serde_json::Value)]
    pub chart: Chart,
}

/// A point over a span of time, as fine as the span allows.
#[utoipa::path(get, path = "/api/devices/{id}/telemetry", params(("id" = Uuid, Path), Query),
    responses((status = 200, body = PointChart)))]
pub async fn show(
    State(app): State<Arc<App>>,
    At(device): At<DeviceId>,
    Ask(query): Ask<Query>,
) -> Result<Json<PointChart>, ApiError> {
    Ok(Json(chart(&app, device, query).await?))
}

/// The same as CSV.
#[utoipa::path(get, path = "/api/devices/{id}/telemetry.csv", params(("id" = Uuid, Path), Query),
    responses((status = 200, content_type = "text/csv")))]
pub async fn export(
    State(app): State<Arc<App>>,
    At(device): At<DeviceId>,
    Ask(query): Ask<Query>,
) -> Result<Response, ApiError> {
    let found = chart(&app, device, query).await?;
    let cell = |number: Option<f64>| number.map(|n| n.to_string()).unwrap_or_default();
    Ok(match found.chart.line {
        Line::Numbers { buckets } => {
            let rows = buckets.into_iter().filter(|bucket| bucket.count > 0).map(|bucket| {
                let numbers = [bucket.min, bucket.avg, bucket.max, bucket.last].map(cell);
                [vec![bucket.at.to_string()], numbers.into(), vec![bucket.count.to_string()]].concat()
            });
            csv::respond("telemetry.csv", &["at", "min", "avg", "max", "last", "count"], rows)
        }
        Line::States { stretches } => {
            let rows = stretches.into_iter().map(|stretch| {
                let seconds = stretch.to.duration_since(stretch.from).as_secs_f64();
                let mixed = if stretch.mixed { "mixed" } else { "" };
                vec![
                    stretch.from.to_string(),
                    stretch.to.to_string(),
                    stretch.state.to_string(),
                    format!("{seconds:.3}"),
                    mixed.to_owned(),
                ]
            });
            csv::respond("telemetry.csv", &["from", "to", "state", "seconds", "note"], rows)
        }
    })
}

async fn chart(app: &App, device: DeviceId, query: Query) -> Result<PointChart, ApiError> {
    let view = app.system().device(device).ok_or_else(|| ApiError::not_found("device"))?;
    let query = asked(device, query, app.system().now())?;
    let unit = view.points.get(&query.point).map(|reading| reading.unit.clone()).unwrap_or_default();
    let chart = match app.system().history().chart(&query).await {
        Ok(chart) => chart,
        // Heard of, not yet written: nothing to show is not an error.
        Err(error) if error.kind() == ErrorKind::NotFound && view.points.contains_key(&query.point) => {
            Chart::empty(&query)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(no_such_point(app, &query).await),
        Err(error) => return Err(error.into()),
    };
    Ok(PointChart { device, point: query.point, unit, chart })
}

/// The points that there are, in the remedy.
async fn no_such_point(app: &App, query: &ChartQuery) -> ApiError {
    let message = format!("this device never reported a point {:?}", query.point);
    let refused = ApiError::invalid("point", "unknown_point", message);
    match app.system().history().points(query.device).await {
        Ok(points) if points.is_empty() => refused.remedy("wait until the device has reported something"),
        Ok(points) => refused.remedy(format!("ask for one of: {}", points.join(", "))),
        Err(error) => Error::from(error).into(),
    }
}

/// Checks the question, field by field.
fn asked(device: DeviceId, query: Query, now: Timestamp) -> Result<ChartQuery, ApiError> {
    if query.point.is_empty() {
        let refused = ApiError::invalid("point", "missing", "no point is named");
        return Err(refused.remedy("add point=NAME, a name among the device's points, e.g. point=temperature"));
    }
    let moment = |field: &str, text: &str| {
        text.parse::<Timestamp>().map_err(|_| {
            ApiError::invalid(field, "not_a_time", format!("{text:?} is not a moment"))
                .remedy("write it as RFC 3339 with its offset, e.g. 2026-05-01T08:00:00Z (a + in a URL is %2B)")
        })
    };
    let to = if query.to.is_empty() { now } else { moment("to", &query.to)? };
    let from = if query.from.is_empty() {
        to.saturating_sub(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MIN)
    } else {
        moment("from", &query.from)?
    };
    if from >= to {
        let refused = ApiError::invalid("from", "not_before_to", format!("{from} is not before {to}"));
        return Err(refused.remedy("let from be earlier than to"));
    }
    if to.duration_since(from) > LONGEST {
        let refused = ApiError::invalid("from", "too_long", format!("{from} to {to} is more than ten years"));
        return Err(refused.remedy("ask for ten years at most"));
    }
    let points = if query.points.is_empty() { Ok(POINTS) } else { query.points.parse() };
    let points = points.ok().filter(|points| (10..=POINTS_MAX).contains(points)).ok_or_else(|| {
        ApiError::invalid("points", "out_of_range", format!("{:?} is not a number of buckets", query.points))
            .remedy(format!("ask for 10 to {POINTS_MAX}, or leave it out for {POINTS}"))
    })?;
    Ok(ChartQuery { device, point: query.point, from, to, points })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut Query)) -> String {
        let mut query = Query { point: "temperature".into(), ..Query::default() };
        change(&mut query);
        let now = "2026-05-04T01:00:00Z".parse().unwrap();
        match asked(DeviceId::from_key("d"), query, now) {
            Ok(query) => format!("ok {} {} {}", query.from, query.to, query.points),
            Err(error) => error.code().to_owned(),
        }
    }

    #[test]
    fn what_is_left_out_is_the_last_day_in_600_buckets() {
        assert_eq!(refusal(|_| {}), "ok 2026-05-03T01:00:00Z 2026-05-04T01:00:00Z 600");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        assert_eq!(refusal(|q| q.point.clear()), "missing");
        assert_eq!(refusal(|q| q.from = "yesterday".into()), "not_a_time");
        assert_eq!(refusal(|q| q.from = "2026-05-04T02:00:00Z".into()), "not_before_to");
        assert_eq!(refusal(|q| q.from = "0900-01-01T00:00:00Z".into()), "too_long");
        for points in ["0", "5000", "many", "-1"] {
            assert_eq!(refusal(|q| q.points = points.into()), "out_of_range");
        }
    }
}
