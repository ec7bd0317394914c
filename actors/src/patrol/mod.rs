//! Video patrol: routes, and the rounds that people walk over them. Committed before they are answered.

pub(crate) mod store;

use crate::error::Error;
use crate::root::System;
use gatehouse_core::alarm::Priority;
use gatehouse_core::device::link::DeviceKind;
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::event::Params;
use gatehouse_core::id::{PatrolRoundId, PatrolRouteId, PictureId, WorkOrderId};
use gatehouse_core::patrol::{Attest, PatrolError, Round, RouteStop, STOPS_MAX, StopPicture, TEXT_MAX, Verdict};
use gatehouse_core::workorder::{DeskCall, NewOrder};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A route as people plan it. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct RouteView {
    pub id: PatrolRouteId,
    pub name: String,
    pub stops: Vec<RouteStop>,
    pub by: String,
    pub at: Timestamp,
    /// When its newest round began.
    pub walked_at: Option<Timestamp>,
}

/// A route as someone writes it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct RouteInput {
    pub name: String,
    pub stops: Vec<RouteStop>,
}

/// What someone says of a stop.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct AttestInput {
    pub verdict: Verdict,
    #[serde(default)]
    pub note: String,
    /// Whether a work order is opened for it.
    #[serde(default)]
    pub work_order: bool,
}

/// Which rounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoundQuery {
    /// Begun before then.
    pub before: Option<Timestamp>,
    /// At most so many.
    pub limit: i64,
    /// Of this route only.
    pub route: Option<PatrolRouteId>,
}

impl System {
    /// The routes, by name.
    pub async fn patrol_routes(&self) -> Result<Vec<RouteView>, Error> {
        Ok(store::routes(self.pool()).await?)
    }

    /// Plans a route.
    pub async fn patrol_route_create(&self, input: RouteInput, by: &str) -> Result<RouteView, Error> {
        let id = PatrolRouteId(self.clock().uuid());
        self.put_route(id, input, by).await
    }

    /// Changes a route; rounds that were begun go on as they were planned.
    pub async fn patrol_route_update(
        &self,
        id: PatrolRouteId,
        input: RouteInput,
        by: &str,
    ) -> Result<RouteView, Error> {
        self.route(id).await?;
        self.put_route(id, input, by).await
    }

    /// Takes a route away; its rounds stay.
    pub async fn patrol_route_delete(&self, id: PatrolRouteId) -> Result<(), Error> {
        self.route_is_there(store::delete_route(self.pool(), id, Some(self.now())).await?)
    }

    /// Takes the deletion of a route back.
    pub async fn patrol_route_undelete(&self, id: PatrolRouteId) -> Result<RouteView, Error> {
        self.route_is_there(store::delete_route(self.pool(), id, None).await?)?;
        self.route(id).await
    }

    fn route_is_there(&self, there: bool) -> Result<(), Error> {
        if there { Ok(()) } else { Err(Error::NotFound { what: "route" }) }
    }

    async fn route(&self, id: PatrolRouteId) -> Result<RouteView, Error> {
        let mut routes = self.patrol_routes().await?;
        routes.retain(|route| route.id == id);
        routes.pop().ok_or(Error::NotFound { what: "route" })
    }

    async fn put_route(&self, id: PatrolRouteId, input: RouteInput, by: &str) -> Result<RouteView, Error> {
        let name = input.name.trim().to_owned();
        if name.is_empty() || name.chars().count() > TEXT_MAX {
            return Err(Error::invalid("empty", "name", format!("a route needs a name of 1 to {TEXT_MAX} characters")));
        }
        if input.stops.is_empty() || input.stops.len() > STOPS_MAX {
            return Err(Error::invalid("stops", "stops", format!("a route has 1 to {STOPS_MAX} stops")));
        }
        let compound = self.compound();
        for (n, stop) in input.stops.iter().enumerate() {
            if compound.device(stop.camera).is_none_or(|spec| spec.kind != DeviceKind::Camera) {
                return Err(Error::invalid("unknown_camera", "stops", format!("stop {} is no camera", n + 1)));
            }
            if stop.look.chars().count() > TEXT_MAX || stop.preset.chars().count() > TEXT_MAX {
                let long = format!("preset and what to look at are at most {TEXT_MAX} characters: stop {}", n + 1);
                return Err(Error::invalid("too_long", "stops", long));
            }
        }
        let taken = self.patrol_routes().await?.iter().any(|route| route.name == name && route.id != id);
        if taken {
            let message = format!("there is a route {name:?} already");
            return Err(Error::Conflict { code: "name_taken", message });
        }
        let (by, at) = (by.to_owned(), self.now());
        store::put_route(self.pool(), &RouteView { id, name, stops: input.stops, by, at, walked_at: None }).await?;
        self.route(id).await
    }

    /// Begins a round; who walks one of this route already goes on with it.
    pub async fn patrol_begin(&self, route: PatrolRouteId, by: &str) -> Result<Round, Error> {
        let RouteView { id, name, stops, .. } = self.route(route).await?;
        let recent = store::rounds(self.pool(), &RoundQuery { limit: 20, route: Some(id), before: None }).await?;
        if let Some(mine) = recent.into_iter().find(|round| round.ended_at.is_none() && round.by == by) {
            return Ok(mine);
        }
        let round = Round::begin(PatrolRoundId(self.clock().uuid()), id, name, stops, by, self.now());
        store::begin(self.pool(), &round).await?;
        Ok(round)
    }

    /// Rounds, newest first.
    pub async fn patrol_rounds(&self, query: RoundQuery) -> Result<Vec<Round>, Error> {
        Ok(store::rounds(self.pool(), &query).await?)
    }

    /// One round.
    pub async fn patrol_round(&self, id: PatrolRoundId) -> Result<Round, Error> {
        Ok(self.versioned(id).await?.0)
    }

    async fn versioned(&self, id: PatrolRoundId) -> Result<(Round, i32), Error> {
        store::round(self.pool(), id).await?.ok_or(Error::NotFound { what: "round" })
    }

    /// A stop as planned, when this person may take its picture.
    pub async fn patrol_may_look(&self, id: PatrolRoundId, stop: usize, by: &str) -> Result<RouteStop, Error> {
        Ok(self.patrol_round(id).await?.may_look(stop, by)?)
    }

    /// The id of a picture that is about to be taken; it carries the moment.
    pub fn patrol_picture_id(&self) -> PictureId {
        PictureId(self.clock().uuid())
    }

    /// Keeps the picture of a stop.
    pub async fn patrol_look(
        &self,
        id: PatrolRoundId,
        stop: usize,
        picture: StopPicture,
        by: &str,
    ) -> Result<Round, Error> {
        self.step(id, |round| round.look(stop, picture, by)).await
    }

    /// Attests a stop.
    pub async fn patrol_attest(
        &self,
        id: PatrolRoundId,
        stop: usize,
        input: AttestInput,
        by: &str,
    ) -> Result<Round, Error> {
        let AttestInput { verdict, note, work_order } = input;
        let note: String = note.trim().chars().take(TEXT_MAX).collect();
        let order = (work_order && verdict != Verdict::InOrder).then(|| order_of(id, stop));
        let attest = Attest { verdict, note: note.clone(), at: self.now(), work_order: order };
        // What would be refused opens no order.
        let mut tried = self.patrol_round(id).await?;
        tried.attest(stop, attest.clone(), by)?;
        if let Some(order) = order {
            self.open_order(order, &tried, stop, &note, by).await?;
        }
        self.step(id, |round| round.attest(stop, attest, by)).await
    }

    /// Ends a round before its last stop.
    pub async fn patrol_end(&self, id: PatrolRoundId, note: String, by: &str) -> Result<Round, Error> {
        let (note, now): (String, _) = (note.chars().take(TEXT_MAX).collect(), self.now());
        self.step(id, |round| round.end(&note, by, now)).await
    }

    async fn step(
        &self,
        id: PatrolRoundId,
        change: impl FnOnce(&mut Round) -> Result<(), PatrolError>,
    ) -> Result<Round, Error> {
        let (mut round, version) = self.versioned(id).await?;
        change(&mut round)?;
        if !store::put_round(self.pool(), &round, version).await? {
            let message = "the round was changed at the same moment: look at it again".to_owned();
            return Err(Error::Conflict { code: "changed", message });
        }
        Ok(round)
    }

    async fn open_order(&self, id: WorkOrderId, round: &Round, stop: usize, note: &str, by: &str) -> Result<(), Error> {
        // A step that was cut short opened it.
        if crate::workorder::store::get(self.pool(), id).await?.is_some() {
            return Ok(());
        }
        let camera = round.stops.get(stop).map(|stop| stop.planned.camera);
        let order = NewOrder {
            id,
            title: Params::from([("text".to_owned(), Value::Text(format!("{}: {note}", round.name)))]),
            kind: "patrol".into(),
            priority: Priority::Medium,
            device: camera,
            place: camera.and_then(|id| self.compound().device(id).map(|spec| spec.place)),
            alarm: None,
            by: by.to_owned(),
        };
        self.desk_call(DeskCall::Open(order), by).await
    }
}

fn order_of(round: PatrolRoundId, stop: usize) -> WorkOrderId {
    WorkOrderId::from_key(&format!("patrol:{round}:{stop}"))
}

impl From<PatrolError> for Error {
    fn from(error: PatrolError) -> Self {
        let message = error.to_string();
        match error {
            PatrolError::Ended => Error::Conflict { code: "round_ended", message },
            PatrolError::Anothers(_) => Error::Conflict { code: "anothers_round", message },
            PatrolError::Attested(_) => Error::Conflict { code: "attested", message },
            PatrolError::NoPicture => Error::Conflict { code: "no_picture", message },
            PatrolError::NoStop(_) => Error::NotFound { what: "stop" },
            PatrolError::NoNote(_) => Error::Invalid { code: "empty", field: "note", message },
        }
    }
}
