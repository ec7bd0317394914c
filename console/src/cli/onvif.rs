//! `gatehouse onvif discover HOST[/PREFIX]`: cameras on the network, as a table and as lines for the site's definition.

use super::serve::fail;
use crate::secrets;
use anyhow::Context;
use gatehouse_adapters::onvif::Account;
use gatehouse_adapters::onvif::discover::{self, Found, PORTS, PROBE_PORT, Search, Step};
use std::fmt::Write as _;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;

/// Speaks ONVIF with cameras.
#[derive(Debug, clap::Args)]
pub struct Onvif {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Looks for cameras: asks each address by itself, nothing is broadcast.
    Discover(Discover),
}

/// What to search.
#[derive(Debug, clap::Args)]
struct Discover {
    /// A host, a network (192.168.1.0/24) or a range (192.168.1.10-192.168.1.40)
    host: String,
    /// Ports asked by HTTP where a probe is not answered [default: 80, 8000, 8080, 8899, 2020]
    #[arg(long, value_name = "PORT")]
    port: Vec<u16>,
    /// The port that probes go to
    #[arg(long, value_name = "PORT", default_value_t = PROBE_PORT)]
    probe_port: u16,
    /// User of the cameras' ONVIF account: without one only what is open to all is shown
    #[arg(long, requires = "password_file")]
    user: Option<String>,
    /// File with its password
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
}

impl Onvif {
    /// Does what is asked.
    pub fn run(self) -> ExitCode {
        let Verb::Discover(discover) = self.verb;
        match discover.run() {
            Ok(text) => super::print(&text),
            Err(error) => fail(&error),
        }
    }
}

impl Discover {
    fn run(self) -> anyhow::Result<String> {
        let addresses = addresses(&self.host)?;
        let password = self.password_file.as_deref().map(secrets::password_file).transpose()?.unwrap_or_default();
        let user = self.user.unwrap_or_default();
        let search = Search {
            addresses,
            ports: if self.port.is_empty() { PORTS.to_vec() } else { self.port },
            probe_port: self.probe_port,
            account: Account { user: user.clone(), password },
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let found = runtime.block_on(async {
            let (steps, mut said) = tokio::sync::mpsc::channel(16);
            tokio::spawn(discover::search(search, steps));
            let mut found = Vec::new();
            while let Some(step) = said.recv().await {
                match step {
                    Step::Asked(asked, of) if asked % 64 == 0 && asked < of => {
                        eprintln!("{asked} of {of} addresses asked")
                    }
                    Step::Asked(..) => {}
                    Step::Found(camera) => found.push(*camera),
                }
            }
            found
        });
        Ok(listing(found, &user))
    }
}

/// The addresses of a network, a range, or a host by its name.
fn addresses(host: &str) -> anyhow::Result<Vec<IpAddr>> {
    let error = match discover::addresses(host) {
        Ok(addresses) => return Ok(addresses),
        Err(error) => error,
    };
    if host.contains('/') {
        return Err(error.into());
    }
    let resolved = (host, 0).to_socket_addrs().ok().and_then(|mut found| found.next());
    Ok(vec![resolved.with_context(|| error.to_string())?.ip()])
}

fn listing(mut found: Vec<Found>, user: &str) -> String {
    if found.is_empty() {
        return "no cameras found: is ONVIF switched on in them, and is the port right (--port)?\n".to_owned();
    }
    found.sort_by_key(|camera| camera.address);
    let mut out = String::new();
    let _ = writeln!(out, "{:<16} {:<16} {:<22} {:<18} PTZ", "ADDRESS", "MAKER", "MODEL", "SERIAL");
    for camera in &found {
        let (identity, ptz) = (&camera.identity, if camera.ptz { "yes" } else { "no" });
        let _ = writeln!(
            out,
            "{:<16} {:<16} {:<22} {:<18} {ptz}",
            camera.address.to_string(),
            identity.maker,
            identity.model,
            identity.serial
        );
        for found in &camera.profiles {
            let profile = &found.profile;
            let size = format!("{}×{}", profile.width, profile.height);
            let _ = writeln!(
                out,
                "  {:<5} {:<14} {:<6} {size:<10} {:>4.1} fps  {}",
                found.role,
                profile.name,
                profile.codec.word(),
                profile.fps,
                found.uri
            );
        }
        if !camera.problem.is_empty() {
            let _ = writeln!(out, "  {}", camera.problem);
        }
    }
    out.push_str("\n# For the site's definition:\n\n");
    for camera in &found {
        out.push_str(&camera.toml(user));
        out.push('\n');
    }
    out
}
