//! Known faces, one template a person, and the nearest of them.

use gatehouse_core::id::PersonId;
use serde::{Deserialize, Serialize};

/// A description of a face: numbers of unit length, as many as its model gives.
#[derive(Clone, PartialEq)]
pub struct Embedding(Box<[f32]>);

impl std::fmt::Debug for Embedding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A face's numbers are personal data: they do not belong in a log.
        f.write_str("Embedding(…)")
    }
}

impl Embedding {
    /// Scales numbers to unit length; `None` for none, for zeros or for what is not finite.
    pub fn normalised(values: &[f32]) -> Option<Self> {
        let length = values.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt();
        if !length.is_finite() || length <= f64::EPSILON {
            return None;
        }
        Some(Self(values.iter().map(|v| (f64::from(*v) / length) as f32).collect()))
    }

    /// The mean direction of several descriptions of one person; `None` for none, when they cancel out or are of different models.
    pub fn averaged<'a>(shots: impl IntoIterator<Item = &'a Embedding>) -> Option<Self> {
        let mut sum: Vec<f32> = Vec::new();
        for shot in shots {
            if sum.is_empty() {
                sum.resize(shot.dimension(), 0.0);
            }
            if sum.len() != shot.dimension() {
                return None;
            }
            sum.iter_mut().zip(shot.values()).for_each(|(sum, v)| *sum += v);
        }
        Self::normalised(&sum)
    }

    /// The numbers.
    pub fn values(&self) -> &[f32] {
        &self.0
    }

    /// How many.
    pub fn dimension(&self) -> usize {
        self.0.len()
    }

    /// The cosine of the angle between two faces, −1…1: 1 is the same picture. Descriptions of different dimension are not alike at
    /// all, −1.
    pub fn cosine(&self, other: &Self) -> f32 {
        if self.dimension() != other.dimension() {
            return -1.0;
        }
        // Eight sums side by side: the compiler keeps them in one vector register.
        let mut sums = [0f32; 8];
        let ((a, a_rest), (b, b_rest)) = (self.0.as_chunks::<8>(), other.0.as_chunks::<8>());
        for (a, b) in a.iter().zip(b) {
            for i in 0..8 {
                sums[i] += a[i] * b[i];
            }
        }
        let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
        (sums.iter().sum::<f32>() + rest).clamp(-1.0, 1.0)
    }
}

/// A stored face: numbers, and which model made them. Templates of different models cannot be compared.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Template {
    /// The model that made it, as [`crate::models::ModelSpec::id`] says.
    pub model: String,
    /// How many numbers it has.
    pub dimension: u32,
    /// Photographs averaged in it.
    pub shots: u32,
    /// The numbers.
    pub values: Vec<f32>,
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Template").field("model", &self.model).field("shots", &self.shots).finish_non_exhaustive()
    }
}

/// Why a template is not taken into a gallery.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Another model made it.
    #[error("the face template was made by {theirs}, this release uses {ours}; enrol the person again")]
    OtherModel {
        /// Model named in the template.
        theirs: String,
        /// Model in use.
        ours: String,
    },
    /// The numbers are not what the template says.
    #[error("the face template is damaged: {count} numbers where {want} belong; enrol the person again")]
    Damaged {
        /// Numbers found.
        count: usize,
        /// Numbers the model gives.
        want: usize,
    },
    /// No photograph was given, or the photographs contradict each other.
    #[error("no face template comes out of these photographs; take others")]
    NoFace,
}

impl Template {
    /// Averages several photographs of one person (three are measured to be enough).
    pub fn enrol<'a>(model: &str, shots: impl IntoIterator<Item = &'a Embedding>) -> Result<Self, TemplateError> {
        let mut count = 0u32;
        let mean = Embedding::averaged(shots.into_iter().inspect(|_| count += 1)).ok_or(TemplateError::NoFace)?;
        let values = mean.values().to_vec();
        Ok(Self { model: model.to_owned(), dimension: values.len() as u32, shots: count, values })
    }

    /// The description, if `model` made it and it is whole: `dimension` numbers.
    pub fn embedding(&self, model: &str, dimension: usize) -> Result<Embedding, TemplateError> {
        if self.model != model {
            return Err(TemplateError::OtherModel { theirs: self.model.clone(), ours: model.to_owned() });
        }
        let damaged = TemplateError::Damaged { count: self.values.len(), want: dimension };
        if self.dimension as usize != dimension || self.values.len() != dimension {
            return Err(damaged);
        }
        Embedding::normalised(&self.values).ok_or(damaged)
    }
}

/// The nearest person of a gallery.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match<P> {
    /// Who.
    pub person: P,
    /// Cosine to their template.
    pub cosine: f32,
    /// Cosine to the second nearest person, if there is one.
    pub second: Option<f32>,
}

/// Known people in memory, searched one by one: 10 000 take about 1 ms.
#[derive(Debug, Clone)]
pub struct Gallery<P = PersonId> {
    model: String,
    dimension: usize,
    people: Vec<(P, Embedding)>,
}

impl<P> Default for Gallery<P> {
    /// Nobody is known, by no model.
    fn default() -> Self {
        Self { model: String::new(), dimension: 0, people: Vec::new() }
    }
}

impl<P: Copy + PartialEq> Gallery<P> {
    /// An empty gallery of templates made by `model`, each of `dimension` numbers.
    pub fn new(model: &str, dimension: usize) -> Self {
        Self { model: model.to_owned(), dimension, people: Vec::new() }
    }

    /// Takes a person in, or replaces their template.
    pub fn insert(&mut self, person: P, template: &Template) -> Result<(), TemplateError> {
        let embedding = template.embedding(&self.model, self.dimension)?;
        match self.people.iter_mut().find(|(held, _)| *held == person) {
            Some((_, held)) => *held = embedding,
            None => self.people.push((person, embedding)),
        }
        Ok(())
    }

    /// Forgets a person; whether they were known.
    pub fn remove(&mut self, person: P) -> bool {
        let before = self.people.len();
        self.people.retain(|(held, _)| *held != person);
        self.people.len() != before
    }

    /// Whether a person is known.
    pub fn contains(&self, person: P) -> bool {
        self.people.iter().any(|(held, _)| *held == person)
    }

    /// People known.
    pub fn len(&self) -> usize {
        self.people.len()
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.people.is_empty()
    }

    /// The nearest person, however far; `None` when nobody is known.
    pub fn best(&self, face: &Embedding) -> Option<Match<P>> {
        let mut best: Option<Match<P>> = None;
        for (person, template) in &self.people {
            let cosine = face.cosine(template);
            best = Some(match best {
                Some(held) if cosine <= held.cosine => {
                    Match { second: Some(held.second.map_or(cosine, |second| second.max(cosine))), ..held }
                }
                held => Match { person: *person, cosine, second: held.map(|held| held.cosine) },
            });
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn towards(axis: usize, share: f32) -> Embedding {
        let mut values = [0f32; 512];
        values[axis] = share;
        values[511] = (1.0 - share * share).max(0.0).sqrt();
        Embedding::normalised(&values).expect("not zero")
    }

    #[test]
    fn the_nearest_and_the_second_are_found_whatever_the_order() {
        let mut gallery = Gallery::new("m", 512);
        for (person, axis) in [(7u8, 0), (8, 1), (9, 2)] {
            gallery
                .insert(person, &Template::enrol("m", [&towards(axis, 1.0)]).expect("one shot"))
                .expect("same model");
        }
        let mut values = [0f32; 512];
        values[..3].copy_from_slice(&[0.5, 0.8, 0.3]);
        let found = gallery.best(&Embedding::normalised(&values).expect("not zero")).expect("three are known");
        assert_eq!(found.person, 8);
        assert!((found.second.expect("two others") - 0.5 / 0.98f32.sqrt()).abs() < 1e-3);
        assert!(gallery.contains(8) && gallery.remove(8) && !gallery.contains(8) && !gallery.remove(8));
        assert_eq!(gallery.len(), 2);
        assert_eq!(gallery.best(&Embedding::normalised(&values).expect("not zero")).map(|m| m.person), Some(7));
    }

    #[test]
    fn a_template_of_another_model_or_a_damaged_one_is_refused() {
        let mut gallery = Gallery::new("ours/2", 512);
        let old = Template::enrol("ours/1", [&towards(0, 1.0)]).expect("one shot");
        assert!(matches!(gallery.insert(1u8, &old), Err(TemplateError::OtherModel { .. })));
        let short = Template { values: vec![1.0; 128], model: "ours/2".into(), ..old };
        assert_eq!(gallery.insert(1, &short), Err(TemplateError::Damaged { count: 128, want: 512 }));
        // Another dimension under the same name is no template of this model either.
        let of_128 = Embedding::normalised(&[1.0; 128]).expect("not zero");
        let other = Template::enrol("ours/2", [&of_128]).expect("one shot");
        assert_eq!(gallery.insert(1, &other), Err(TemplateError::Damaged { count: 128, want: 512 }));
        assert_eq!(of_128.cosine(&towards(0, 1.0)), -1.0);
        assert!(Embedding::averaged([&of_128, &towards(0, 1.0)]).is_none());
        assert!(gallery.is_empty());
        assert!(matches!(Template::enrol("m", []), Err(TemplateError::NoFace)));
    }

    #[test]
    fn averaging_lies_between_and_forgets_what_differs() {
        let (a, b) = (towards(0, 0.6), towards(1, 0.6));
        let mean = Embedding::averaged([&a, &b]).expect("do not cancel");
        assert!(mean.cosine(&a) > a.cosine(&b));
        assert!((mean.cosine(&a) - mean.cosine(&b)).abs() < 1e-5);
    }

    #[test]
    fn a_face_never_shows_its_numbers_in_a_log() {
        assert_eq!(format!("{:?}", towards(0, 1.0)), "Embedding(…)");
        assert!(!format!("{:?}", Template::enrol("m", [&towards(0, 1.0)]).expect("one shot")).contains("1.0"));
    }

    proptest! {
        #[test]
        fn cosine_is_symmetric_and_one_with_itself_whatever_the_dimension(
            values in proptest::collection::vec(-1f32..1.0, 1..600),
            others in proptest::collection::vec(-1f32..1.0, 600),
        ) {
            let other = Embedding::normalised(&others[..values.len()]);
            if let (Some(face), Some(other)) = (Embedding::normalised(&values), other) {
                prop_assert!((face.cosine(&face) - 1.0).abs() < 1e-4);
                prop_assert_eq!(face.cosine(&other), other.cosine(&face));
            }
        }
    }
}
