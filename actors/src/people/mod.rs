//! People: who is known here, what they hold, and the faces they consented to.

mod expiry;
pub mod face;
mod seal;
pub(crate) mod store;

pub use face::{ConsentInput, FaceInput, FaceView, Gallery, GalleryFace};
pub use seal::SealError;

use crate::error::Error;
use crate::root::System;
use gatehouse_core::access::{CredentialKind, normal_card, normal_plate};
use gatehouse_core::event::Body;
use gatehouse_core::id::{CredentialId, PersonId};
use gatehouse_core::people::PersonKind;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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
        let mut people = store::list(self.pool(), q, limit.clamp(1, 10_000)).await?;
        let measure = self.measure();
        people.iter_mut().for_each(|person| measure.apply(&mut person.face));
        Ok(people)
    }

    /// One person.
    pub async fn person(&self, id: PersonId) -> Result<PersonView, Error> {
        let mut person = store::get(self.pool(), id).await?.ok_or(Error::NotFound { what: "person" })?;
        self.measure().apply(&mut person.face);
        Ok(person)
    }

    /// Adds a person.
    pub async fn person_create(&self, input: PersonInput, by: &str) -> Result<PersonView, Error> {
        check_person(self, &input)?;
        let id = PersonId(self.clock().uuid());
        store::create(self.pool(), id, &input, self.now()).await?;
        people_changed(self, id, "created", by).await?;
        self.person(id).await
    }

    /// Changes a person; what is left out stays.
    pub async fn person_update(&self, id: PersonId, input: PersonInput, by: &str) -> Result<PersonView, Error> {
        check_person(self, &input)?;
        if !store::update(self.pool(), id, &input).await? {
            return Err(Error::NotFound { what: "person" });
        }
        people_changed(self, id, "updated", by).await?;
        self.person(id).await
    }

    /// Deletes a person: credentials removed, faces shredded, personal content emptied. Records of the past keep the id.
    pub async fn person_delete(&self, id: PersonId, by: &str) -> Result<(), Error> {
        if !store::delete(self.pool(), id, by, self.now()).await? {
            return Err(Error::NotFound { what: "person" });
        }
        self.gallery_moved();
        people_changed(self, id, "deleted", by).await?;
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
        people_changed(self, person, "credential_added", by).await?;
        Ok(view)
    }

    /// Takes a card or plate away; it can be given back with [`System::credential_undo`].
    pub async fn credential_remove(&self, id: CredentialId, by: &str) -> Result<(), Error> {
        let person = store::credential_remove(self.pool(), id, self.now()).await?;
        let person = person.ok_or(Error::NotFound { what: "credential" })?;
        people_changed(self, person, "credential_removed", by).await
    }

    /// Gives a removed card or plate back, unless someone else has it now.
    pub async fn credential_undo(&self, id: CredentialId, by: &str) -> Result<CredentialView, Error> {
        let (person, view) = store::credential_undo(self.pool(), id).await?.ok_or_else(|| Error::Conflict {
            code: "credential_in_use",
            message: "it was not removed, or is in use by someone else".into(),
        })?;
        people_changed(self, person, "credential_added", by).await?;
        Ok(view)
    }
}

/// After a change of a person: the doors decide by it, and the log tells.
pub(crate) async fn people_changed(system: &System, person: PersonId, what: &str, by: &str) -> Result<(), Error> {
    system.refresh_access().await?;
    system.tell_about(by, Body::PeopleChanged { person, what: what.to_owned() }).await
}
