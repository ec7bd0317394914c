//! Face templates under lock: AES-256-GCM with a key per person, which is itself wrapped by the master key.
//!
//! Deleting a person's wrapped key makes their templates noise, in the database and in every backup of it.

use gatehouse_core::id::PersonId;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

/// Why something could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// No randomness.
    #[error("the machine gives no random numbers")]
    NoRandom,
    /// Another key, or changed bytes.
    #[error("a face template cannot be opened: the master key is another one, or the bytes were changed")]
    Broken,
    /// The master key was never set.
    #[error("no master key is set: faces cannot be enrolled")]
    NoMasterKey,
}

/// A person's own key.
pub(crate) struct PersonKey([u8; 32]);

fn key(bytes: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("AES-256 takes 32 bytes"))
}

/// Nonce, then ciphertext and tag; bound to the person.
fn seal(with: &[u8; 32], person: PersonId, plain: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut nonce = [0; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).map_err(|_| SealError::NoRandom)?;
    let mut sealed = plain.to_vec();
    key(with)
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(person.0.as_bytes()), &mut sealed)
        .map_err(|_| SealError::Broken)?;
    Ok([nonce.as_slice(), &sealed].concat())
}

fn open(with: &[u8; 32], person: PersonId, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Broken)?;
    let mut plain = rest.to_vec();
    let length = key(with)
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(person.0.as_bytes()), &mut plain)
        .map_err(|_| SealError::Broken)?
        .len();
    plain.truncate(length);
    Ok(plain)
}

impl PersonKey {
    /// A new key.
    pub(crate) fn new() -> Result<Self, SealError> {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).map_err(|_| SealError::NoRandom)?;
        Ok(Self(bytes))
    }

    /// The key as stored.
    pub(crate) fn wrap(&self, master: &[u8; 32], person: PersonId) -> Result<Vec<u8>, SealError> {
        if *master == [0; 32] {
            return Err(SealError::NoMasterKey);
        }
        seal(master, person, &self.0)
    }

    /// The key out of the store.
    pub(crate) fn unwrap(master: &[u8; 32], person: PersonId, wrapped: &[u8]) -> Result<Self, SealError> {
        open(master, person, wrapped)?.try_into().map(Self).map_err(|_| SealError::Broken)
    }

    /// A template as stored.
    pub(crate) fn seal(&self, person: PersonId, template: &[f32]) -> Result<Vec<u8>, SealError> {
        let plain: Vec<u8> = template.iter().flat_map(|x| x.to_le_bytes()).collect();
        seal(&self.0, person, &plain)
    }

    /// A template out of the store.
    pub(crate) fn open(&self, person: PersonId, sealed: &[u8]) -> Result<Vec<f32>, SealError> {
        let plain = open(&self.0, person, sealed)?;
        let (numbers, rest) = plain.as_chunks::<4>();
        if rest.is_empty() {
            Ok(numbers.iter().map(|x| f32::from_le_bytes(*x)).collect())
        } else {
            Err(SealError::Broken)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MASTER: [u8; 32] = [7; 32];

    proptest! {
        #[test]
        fn a_template_opens_only_with_its_own_keys(template in proptest::collection::vec(-1.0f32..1.0, 0..64), at in 0usize..400) {
            let (li, wu) = (PersonId::from_key("li"), PersonId::from_key("wu"));
            let own = PersonKey::new().unwrap();
            let wrapped = own.wrap(&MASTER, li).unwrap();
            let mut sealed = own.seal(li, &template).unwrap();
            let again = PersonKey::unwrap(&MASTER, li, &wrapped).unwrap();
            prop_assert_eq!(again.open(li, &sealed).unwrap(), template);
            prop_assert!(again.open(wu, &sealed).is_err());
            prop_assert!(PersonKey::unwrap(&[8; 32], li, &wrapped).is_err());
            prop_assert!(PersonKey::new().unwrap().open(li, &sealed).is_err());
            let at = at % sealed.len();
            sealed[at] ^= 1;
            prop_assert!(again.open(li, &sealed).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(PersonKey([1; 32]).open(PersonId::from_key("x"), &bytes).is_err());
        }
    }
}
