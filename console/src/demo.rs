//! The simulated compound: virtual cameras over RTSP, devices over MQTT, and the stories they play.

use crate::api::demo::Story;
use crate::error::ApiError;
use crate::provision::Provided;
use crate::secrets::Secrets;
use gatehouse_adapters::sim::Stage;
use gatehouse_adapters::sim::compound::{Compound, Peer};
use gatehouse_adapters::sim::rtsp::{RtspServer, Users};
use gatehouse_adapters::sim::scene::Studio;
use gatehouse_core::id::DeviceKey;
use gatehouse_core::site::Site;
use ring::constant_time;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::Uuid;

/// The running compound.
pub struct Demo {
    compound: Compound,
    rtsp: RtspServer,
    studio: Arc<Studio>,
    auto: AtomicBool,
    token: String,
}
