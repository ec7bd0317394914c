//! Places: the tree Site › Building › Floor › Space, and their plans.

use crate::id::PlaceId;
use serde::{Deserialize, Serialize};

/// What a place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlaceKind {
    /// The compound.
    Site,
    /// A building of it.
    Building,
    /// A floor of a building.
    Floor,
    /// A room, hall, gate or yard.
    Space,
}

/// A drawing of a place, in metres from its upper left corner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Metres.
    pub width: f64,
    /// Metres.
    pub height: f64,
    /// From the bottom up.
    #[serde(default)]
    pub shapes: Vec<Shape>,
}

/// What a shape of a plan shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShapeKind {
    /// A closed room or building.
    Room,
    /// A wall.
    Wall,
    /// A road.
    Road,
    /// Lawn, trees.
    Green,
    /// Text only.
    Label,
    /// A pond.
    Water,
}

/// One shape of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// What it shows.
    pub kind: ShapeKind,
    /// Its corners, metres.
    pub points: Vec<[f64; 2]>,
    /// Text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Text in Chinese.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_zh: Option<String>,
}

/// A place, resolved. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Its id.
    pub id: PlaceId,
    /// Its key in the configuration.
    pub key: String,
    /// What it is part of.
    pub parent: Option<PlaceId>,
    /// What it is.
    pub kind: PlaceKind,
    /// Name.
    pub name: String,
    /// Name in Chinese.
    pub name_zh: String,
    /// Its drawing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
}
