//! Gatehouse console: set-up, composition, HTTP and WebSocket.

pub mod api;
pub mod app;
pub mod auth;
pub mod backup;
pub mod cli;
pub mod client;
pub mod clips;
pub mod compose;
pub mod config;
pub mod demo;
pub mod dist;
pub mod error;
pub mod extract;
pub mod feed;
pub mod gallery;
pub mod media;
pub mod metrics;
pub mod openapi;
pub mod provision;
pub mod rbac;
pub mod router;
pub mod routes;
pub mod secrets;
pub mod site;
pub mod webhooks;
pub mod ws;
