//! People: who is known here, what they hold, and the faces they consented to.

mod expiry;
mod seal;
pub(crate) mod store;

pub use seal::SealError;

use crate::error::Error;
use crate::root::System;
use gatehouse_core::access::{CredentialKind, normal_card, normal_plate};
use gatehouse_core::event::Body;
use gatehouse_core::id::{CredentialId, DeviceId, PersonId};
use gatehouse_core::people::{PersonKind, consent};
use jiff::Timestamp;
use seal::PersonKey;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::warn;

/// Templates of one person.
const MOST_TEMPLATES: usize = 10;
/// Numbers of one template.
const MOST_NUMBERS: usize = 2_048;

/// A person. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct PersonView {
    pub id: PersonId,
    pub name: String,
    pub phone_tail: String,
    pub unit: String,
    pub kind: PersonKind,
    pub note: String,
    pub levels: Vec<String>,
    pub credentials: Vec<CredentialView>,
    pub face: FaceView,
}

/// A card or plate; the value is whole: masking is for whoever shows it. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct CredentialView {
    pub id: CredentialId,
    pub kind: CredentialKind,
    pub value: String,
    pub valid_from: Option<Timestamp>,
    pub valid_until: Option<Timestamp>,
    pub enabled: bool,
}

/// What is kept of a person's face. Field names are the wire's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct FaceView {
    pub enrolled: bool,
    pub photos: i64,
    pub consent_at: Option<Timestamp>,
    pub model: String,
    /// Devices that have not said yet that they removed it.
    pub still_at: Vec<DeviceId>,
}

/// A person as someone writes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct PersonInput {
    pub name: String,
    #[serde(default)]
    pub phone: Option<String>,
    #[serde(default)]
    pub unit: Option<String>,
    pub kind: PersonKind,
    #[serde(default)]
    pub note: Option<String>,
    #[serde(default)]
    pub levels: Option<Vec<String>>,
}

/// A credential as someone writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct CredentialInput {
    pub kind: CredentialKind,
    pub value: String,
    #[serde(default)]
    pub valid_from: Option<Timestamp>,
    #[serde(default)]
    pub valid_until: Option<Timestamp>,
}

/// Templates to be enrolled, with the consent they rest on.
#[derive(Clone, Debug, PartialEq)]
pub struct FaceInput {
    /// One per photograph.
    pub templates: Vec<Vec<f32>>,
    /// The model that made them.
    pub model: String,
    /// The text that the person was shown.
    pub consent_text: String,
    /// How they consented.
    pub channel: String,
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

fn check_person(system: &System, input: &PersonInput) -> Result<(), Error> {
    if input.name.trim().is_empty() || input.name.chars().count() > 100 {
        return Err(Error::invalid("name", "name", "a person needs a name of at most 100 characters"));
    }
    let site = system.site();
    for level in input.levels.iter().flatten() {
        if !site.levels.iter().any(|known| known.key == *level) {
            return Err(Error::invalid("unknown_level", "levels", format!("no access level {level:?} is defined")));
        }
    }
    Ok(())
}

impl System {
    /// People by name, unit or plate.
    pub async fn people(&self, q: &str, limit: i64) -> Result<Vec<PersonView>, Error> {
        Ok(store::list(self.pool(), q, limit.clamp(1, 10_000)).await?)
    }

    /// One person.
    pub async fn person(&self, id: PersonId) -> Result<PersonView, Error> {
        store::get(self.pool(), id).await?.ok_or(Error::NotFound { what: "person" })
    }

    /// Adds a person.
    pub async fn person_create(&self, input: PersonInput, by: &str) -> Result<PersonView, Error> {
        check_person(self, &input)?;
        let id = PersonId(self.clock().uuid());
        store::create(self.pool(), id, &input, self.now()).await?;
        self.people_changed(id, "created", by).await?;
        self.person(id).await
    }

    /// Changes a person; what is left out stays.
    pub async fn person_update(&self, id: PersonId, input: PersonInput, by: &str) -> Result<PersonView, Error> {
        check_person(self, &input)?;
        if !store::update(self.pool(), id, &input).await? {
            return Err(Error::NotFound { what: "person" });
        }
        self.people_changed(id, "updated", by).await?;
        self.person(id).await
    }

    /// Deletes a person: credentials removed, faces shredded, personal content emptied. Records of the past keep the id.
    pub async fn person_delete(&self, id: PersonId, by: &str) -> Result<(), Error> {
        if !store::delete(self.pool(), id, by, self.now()).await? {
            return Err(Error::NotFound { what: "person" });
        }
        self.gallery_moved();
        self.people_changed(id, "deleted", by).await?;
        self.tell_removals().await
    }

    /// Gives a person a card or plate.
    pub async fn credential_add(
        &self,
        person: PersonId,
        input: CredentialInput,
        by: &str,
    ) -> Result<CredentialView, Error> {
        self.person(person).await?;
        let normal = match input.kind {
            CredentialKind::Card => normal_card(&input.value),
            CredentialKind::Plate => normal_plate(&input.value),
        };
        if normal.is_empty() || normal.chars().count() > 32 {
            return Err(Error::invalid("value", "value", "a card or plate has 1 to 32 letters and digits"));
        }
        if let (Some(from), Some(until)) = (input.valid_from, input.valid_until)
            && until <= from
        {
            return Err(Error::invalid("valid_until", "valid_until", "it must end after it begins"));
        }
        let id = CredentialId(self.clock().uuid());
        let view = store::credential_add(self.pool(), id, person, &input, &normal, self.now()).await?;
        let view = view.ok_or_else(|| Error::Conflict {
            code: "credential_in_use",
            message: "this card or plate is in use already: remove it there first".into(),
        })?;
        self.people_changed(person, "credential_added", by).await?;
        Ok(view)
    }

    /// Takes a card or plate away; it can be given back with [`System::credential_undo`].
    pub async fn credential_remove(&self, id: CredentialId, by: &str) -> Result<(), Error> {
        let person = store::credential_remove(self.pool(), id, self.now()).await?;
        let person = person.ok_or(Error::NotFound { what: "credential" })?;
        self.people_changed(person, "credential_removed", by).await
    }

    /// Gives a removed card or plate back, unless someone else has it now.
    pub async fn credential_undo(&self, id: CredentialId, by: &str) -> Result<CredentialView, Error> {
        let (person, view) = store::credential_undo(self.pool(), id).await?.ok_or_else(|| Error::Conflict {
            code: "credential_in_use",
            message: "it was not removed, or is in use by someone else".into(),
        })?;
        self.people_changed(person, "credential_added", by).await?;
        Ok(view)
    }

    /// Enrols a face with the consent it rests on; the number of templates now kept.
    pub async fn face_add(&self, person: PersonId, input: FaceInput, by: &str) -> Result<usize, Error> {
        let known = self.person(person).await?;
        consent::check(&input.consent_text, &input.channel)
            .map_err(|error| Error::invalid("consent_missing", "consent_text", error))?;
        let kept = usize::try_from(known.face.photos).unwrap_or(0) + input.templates.len();
        if input.templates.is_empty() || kept > MOST_TEMPLATES {
            let message = format!("a person has 1 to {MOST_TEMPLATES} face templates");
            return Err(Error::invalid("templates", "photo", message));
        }
        if input.templates.iter().any(|t| t.is_empty() || t.len() > MOST_NUMBERS || t.iter().any(|x| !x.is_finite())) {
            return Err(Error::invalid("templates", "photo", "a face template is not a list of finite numbers"));
        }
        let sealed_error = |error: SealError| Error::Conflict { code: "face_key", message: error.to_string() };
        let master = &self.inner().master_key;
        let wrapped = store::face_key(self.pool(), person).await?;
        let (key, wrapped) = match wrapped {
            Some(wrapped) => (PersonKey::unwrap(master, person, &wrapped).map_err(sealed_error)?, None),
            None => {
                let key = PersonKey::new().map_err(sealed_error)?;
                let wrapped = key.wrap(master, person).map_err(sealed_error)?;
                (key, Some(wrapped))
            }
        };
        let sealed: Result<Vec<_>, _> = input.templates.iter().map(|template| key.seal(person, template)).collect();
        let sealed = sealed.map_err(sealed_error)?;
        let kept = store::face_add(self.pool(), person, wrapped, &sealed, &input, by, self.now()).await?;
        self.gallery_moved();
        self.people_changed(person, "face_added", by).await?;
        Ok(kept)
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
            self.people_changed(person, "face_deleted", &by).await?;
            store::removal_told(self.pool(), person).await?;
        }
        Ok(())
    }

    /// All enrolled faces, decrypted for the matcher. One that does not open is left out and told.
    pub async fn gallery(&self) -> Result<Gallery, Error> {
        let version = *self.inner().gallery.borrow();
        let mut faces = Vec::new();
        for row in store::gallery(self.pool()).await? {
            let opened = PersonKey::unwrap(&self.inner().master_key, row.person, &row.wrapped)
                .and_then(|key| key.open(row.person, &row.sealed));
            match opened {
                Ok(template) => faces.push(GalleryFace { person: row.person, template, model: row.model }),
                Err(error) => warn!(person.id = %row.person, "{error}"),
            }
        }
        Ok(Gallery { version, faces })
    }

    /// Tells the version of the gallery at each change.
    pub fn gallery_changed(&self) -> watch::Receiver<u64> {
        self.inner().gallery.subscribe()
    }

    fn gallery_moved(&self) {
        self.inner().gallery.send_modify(|version| *version += 1);
    }

    async fn people_changed(&self, person: PersonId, what: &str, by: &str) -> Result<(), Error> {
        self.refresh_access().await?;
        self.tell_about(by, Body::PeopleChanged { person, what: what.to_owned() }).await
    }
}
