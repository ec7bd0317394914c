//! Faces: the consent they rest on, the sealed templates, and that they are gone when it is taken back.
//!
//! Photographs do not come here: only the numbers that were made of them, so that none can be kept.

pub(crate) mod store;

use super::seal::{PersonKey, SealError};
use super::{PersonView, people_changed};
use crate::clock::zone;
use crate::error::Error;
use crate::root::System;
use crate::staff::{self, AuditEntry};
use gatehouse_core::id::{CommandId, DeviceId, PersonId};
use gatehouse_core::people::FaceNotice;
use gatehouse_core::people::consent::{self, AskAgain, Asked, Given, Guardian};
use gatehouse_core::people::filing::{FILING_AT, Filing, WARN_AT, filing};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::warn;

/// Templates of one person.
const MOST_TEMPLATES: usize = 10;
/// Numbers of one template.
const MOST_NUMBERS: usize = 2_048;
/// People named on the managers' page.
const MOST_NAMED: i64 = 500;

/// What is kept of a person's face. Field names are the wire's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct FaceView {
    pub enrolled: bool,
    pub photos: i64,
    pub model: String,
    pub dimension: i32,
    pub consent_at: Option<Timestamp>,
    pub consent_version: String,
    pub guardian: Option<Guardian>,
    /// Why the person is to be asked again although their consent stands.
    pub ask_again: Option<AskAgain>,
    /// Whether another model made the templates, which match no face then.
    pub enrol_again: bool,
    /// Devices that have not said yet that they removed it.
    pub still_at: Vec<DeviceId>,
    /// Where it was to be removed, the newest word of each device.
    pub removals: Vec<RemovalView>,
    /// Date of birth where a guardian consented: for the judgement above, not for anyone's eyes.
    #[serde(skip)]
    pub(crate) born: Option<Date>,
}

impl FaceView {
    /// Says whether the person is to enrol again: `in_use` is the model and its dimension, none where recognition is off.
    pub fn hold_to(&mut self, in_use: Option<(&str, usize)>) {
        self.enrol_again = self.enrolled
            && in_use.is_some_and(|(model, dimension)| {
                self.model != model || usize::try_from(self.dimension) != Ok(dimension)
            });
    }
}

/// How the removal of a face at one device fares. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct RemovalView {
    pub device: DeviceId,
    pub command: CommandId,
    /// As in the command ledger; `executed`: the device confirmed it.
    pub state: String,
    pub asked_at: Timestamp,
    pub changed_at: Timestamp,
}

/// A consent as someone records it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the names say it")]
pub struct ConsentInput {
    /// Of the notice that was shown.
    pub version: String,
    /// Language it was read in: `zh` or `en`.
    pub lang: String,
    /// How it was given, e.g. `signed at the desk`.
    pub channel: String,
    #[serde(default)]
    pub under_14: bool,
    #[serde(default)]
    pub born: Option<Date>,
    #[serde(default)]
    pub guardian: Option<Guardian>,
}

/// Templates to be enrolled.
#[derive(Clone, Debug, PartialEq)]
pub struct FaceInput {
    /// One per photograph.
    pub templates: Vec<Vec<f32>>,
    /// The model that made them.
    pub model: String,
}

/// One face of the gallery.
#[derive(Clone, Debug, PartialEq)]
pub struct GalleryFace {
    /// Whose.
    pub person: PersonId,
    /// The template.
    pub template: Vec<f32>,
    /// The model that made it.
    pub model: String,
}

/// All enrolled faces, decrypted for the matcher.
#[derive(Clone, Debug, PartialEq)]
pub struct Gallery {
    /// Grows at every change.
    pub version: u64,
    /// The faces.
    pub faces: Vec<GalleryFace>,
}

/// The faces of a site, for those who answer for them. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct FacesView {
    /// People whose templates are kept.
    pub people: u64,
    pub templates: u64,
    pub filing: Filing,
    pub warn_at: u64,
    pub filing_at: u64,
    /// The model in use: templates of another one open no door. Empty where recognition is off.
    pub model: String,
    pub consent_version: String,
    pub renew_days: u32,
    /// People whose templates another model made: they enrol again.
    pub enrol_again: Vec<FaceCase>,
    /// People whose consent stands, but is to be asked for again.
    pub consent_again: Vec<FaceCase>,
    /// Devices that have not confirmed every removal.
    pub removing: Vec<Removing>,
}

/// A person to be seen to. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct FaceCase {
    pub person: PersonId,
    pub name: String,
    pub unit: String,
    pub model: String,
    pub dimension: i32,
    pub ask_again: Option<AskAgain>,
}

/// Removals that a device owes. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Removing {
    pub device: DeviceId,
    pub people: i64,
    pub since: Timestamp,
}

/// What consents are measured by.
pub(super) struct Measure {
    notice: Option<FaceNotice>,
    now: Timestamp,
    today: Date,
}

impl Measure {
    /// Says whether the person is to be asked again.
    pub(super) fn apply(&self, face: &mut FaceView) {
        let (Some(notice), Some(at)) = (&self.notice, face.consent_at) else { return };
        let given = Given { at, version: face.consent_version.clone(), born: face.born };
        face.ask_again = consent::ask_again(&given, &notice.version, notice.renew_days, self.now, self.today);
    }
}

impl System {
    /// The notice that everyone is shown before they consent to their face being used.
    pub fn face_notice(&self) -> Result<FaceNotice, Error> {
        self.site().face_notice().ok_or_else(|| Error::Conflict {
            code: "no_face_notice",
            message: "the site does not say who answers for faces: set face_consent in its definition".into(),
        })
    }

    pub(super) fn measure(&self) -> Measure {
        let (site, now) = (self.site(), self.now());
        let today = now.to_zoned(zone(&site.zone).unwrap_or(TimeZone::UTC)).date();
        Measure { notice: site.face_notice(), now, today }
    }

    /// Records a person's consent, or their guardian's, to the notice in force.
    pub async fn consent_give(&self, id: PersonId, input: ConsentInput, by: &str) -> Result<PersonView, Error> {
        self.person(id).await?;
        let notice = self.face_notice()?;
        let asked = Asked {
            version: &input.version,
            channel: &input.channel,
            under_14: input.under_14,
            born: input.born,
            guardian: input.guardian.as_ref(),
        };
        consent::check(&asked, &notice.version, self.measure().today)
            .map_err(|error| Error::invalid(error.code(), error.field(), error))?;
        let text = notice
            .text(&input.lang)
            .ok_or_else(|| Error::invalid("consent_lang", "lang", "the notice is there in zh and en"))?;
        store::consent_add(self.pool(), id, text, &input, by, self.now()).await?;
        people_changed(self, id, "consent_given", by).await?;
        self.person(id).await
    }

    /// Whether pictures of a person may be looked at: their consent to the notice in force stands.
    pub async fn face_consented(&self, id: PersonId) -> Result<(), Error> {
        self.person(id).await?;
        let notice = self.face_notice()?;
        let stands = store::consent_stands(self.pool(), id, &notice.version).await?;
        if stands { Ok(()) } else { Err(no_consent()) }
    }

    /// Enrols a face in place of an earlier one; the number of templates kept. It rests on the consent to the notice in force.
    pub async fn face_set(&self, id: PersonId, input: FaceInput, by: &str) -> Result<usize, Error> {
        self.person(id).await?;
        let notice = self.face_notice()?;
        let count = input.templates.len();
        if count == 0 || count > MOST_TEMPLATES {
            let message = format!("a person has 1 to {MOST_TEMPLATES} face templates");
            return Err(Error::invalid("templates", "photo", message));
        }
        let dimension = input.templates.first().map_or(0, Vec::len);
        let whole = |t: &Vec<f32>| t.len() == dimension && t.iter().all(|x| x.is_finite());
        if dimension == 0 || dimension > MOST_NUMBERS || !input.templates.iter().all(whole) {
            return Err(Error::invalid("templates", "photo", "face templates are not lists of as many finite numbers"));
        }
        let sealed_error = |error: SealError| Error::Conflict { code: "face_key", message: error.to_string() };
        // A key of its own for every enrolment: with the old one, the old templates are gone.
        let key = PersonKey::new().map_err(sealed_error)?;
        let wrapped = key.wrap(&self.inner().master_key, id).map_err(sealed_error)?;
        let sealed: Result<Vec<_>, _> = input.templates.iter().map(|template| key.seal(id, template)).collect();
        let face = store::NewFace {
            person: id,
            version: &notice.version,
            wrapped,
            sealed: sealed.map_err(sealed_error)?,
            model: &input.model,
            dimension: i32::try_from(dimension).unwrap_or(i32::MAX),
        };
        if !store::face_set(self.pool(), face, self.now()).await? {
            return Err(no_consent());
        }
        self.gallery_moved();
        people_changed(self, id, "face_added", by).await?;
        Ok(count)
    }

    /// Takes a consent back: the key and the templates are gone, and every device that keeps faces is told to forget it.
    pub async fn face_delete(&self, person: PersonId, by: &str) -> Result<(), Error> {
        self.person(person).await?;
        store::face_delete(self.pool(), person, by, self.now()).await?;
        self.gallery_moved();
        self.tell_removals().await
    }

    /// Puts removed faces on the log, from where the devices that keep them are told. Said again after a crash: the removal and
    /// its word are stored together, and a device told twice has nothing to remove the second time.
    pub(crate) async fn tell_removals(&self) -> Result<(), Error> {
        for (person, by) in store::removals(self.pool()).await? {
            people_changed(self, person, "face_deleted", &by).await?;
            store::removal_told(self.pool(), person).await?;
        }
        Ok(())
    }

    /// All enrolled faces, decrypted for the matcher. One that does not open is left out and told.
    ///
    /// Nothing else decrypts a template, and this does not before the audit has its row.
    pub async fn gallery(&self) -> Result<Gallery, Error> {
        let version = *self.inner().gallery.borrow();
        let rows = store::gallery(self.pool()).await?;
        let entry = AuditEntry {
            at: self.now(),
            by: "system".into(),
            action: "face.read".into(),
            target: format!("{} templates", rows.len()),
            outcome: "for the matcher".into(),
            address: String::new(),
        };
        staff::audit(self.pool(), entry).await?;
        let mut faces = Vec::new();
        for row in rows {
            let opened = PersonKey::unwrap(&self.inner().master_key, row.person, &row.wrapped)
                .and_then(|key| key.open(row.person, &row.sealed));
            match opened {
                Ok(template) if template.len() == usize::try_from(row.dimension).unwrap_or(0) => {
                    faces.push(GalleryFace { person: row.person, template, model: row.model });
                }
                Ok(_) => warn!(person.id = %row.person, "{}", SealError::Broken),
                Err(error) => warn!(person.id = %row.person, "{error}"),
            }
        }
        Ok(Gallery { version, faces })
    }

    /// The faces of the site: how many, and who is to be seen to; `in_use` is the model and its dimension, none where recognition is
    /// off: nobody enrols again then.
    pub async fn faces(&self, in_use: Option<(&str, usize)>) -> Result<FacesView, Error> {
        let notice = self.face_notice()?;
        let measure = self.measure();
        let (model, dimension) = in_use.unwrap_or_default();
        let dimension = i32::try_from(dimension).unwrap_or(i32::MAX);
        let (people, templates) = store::counts(self.pool()).await?;
        let by = store::Stale {
            model,
            dimension,
            version: &notice.version,
            older_than: self.now() - jiff::SignedDuration::from_hours(24 * i64::from(notice.renew_days)),
            of_age_born: measure.today.saturating_sub(jiff::Span::new().years(consent::OF_AGE)),
        };
        let mut enrol_again = match in_use {
            Some(_) => store::of_another_model(self.pool(), &by, MOST_NAMED).await?,
            None => Vec::new(),
        };
        let mut consent_again = store::to_be_asked(self.pool(), &by, MOST_NAMED).await?;
        let case = |mut view: store::Case| {
            measure.apply(&mut view.face);
            let FaceView { model, dimension, ask_again, .. } = view.face;
            FaceCase { person: view.person, name: view.name, unit: view.unit, model, dimension, ask_again }
        };
        Ok(FacesView {
            people,
            templates,
            filing: filing(people),
            warn_at: WARN_AT,
            filing_at: FILING_AT,
            model: model.to_owned(),
            consent_version: notice.version.clone(),
            renew_days: notice.renew_days,
            enrol_again: enrol_again.drain(..).map(case).collect(),
            consent_again: consent_again.drain(..).map(case).collect(),
            removing: store::removing(self.pool()).await?,
        })
    }

    /// Tells the version of the gallery at each change.
    pub fn gallery_changed(&self) -> watch::Receiver<u64> {
        self.inner().gallery.subscribe()
    }

    pub(super) fn gallery_moved(&self) {
        self.inner().gallery.send_modify(|version| *version += 1);
    }
}

fn no_consent() -> Error {
    Error::Conflict {
        code: "consent_missing",
        message: "the person's consent to the text in force is not recorded: show the text, let them agree, record it"
            .into(),
    }
}
