//! One RTSP connection: requests in, responses and media out.
//!
//! ```text
//!  Init ──SETUP──▶ Ready ──PLAY──▶ Playing ──PAUSE──▶ Ready
//!                    └────TEARDOWN────┴──▶ Init
//! ```
//! A session lives and ends with its connection. Media and answers leave through the same task, so an interleaved packet
//! never splits an answer; who does not read for [`WRITE_PATIENCE`] is closed.

use super::auth::Verdict;
use super::message::{self, Incoming, Request, Response, Transport};
use super::rtp::{PAYLOAD_TYPE, Packets, Sender};
use super::sound::SoundFrame;
use super::source::{AccessUnit, Faults, Listener, LiveSource, ParameterSets};
use super::{Counters, Shared};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf as _, BytesMut};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::WriteHalf;
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::debug;

/// A client that takes no byte for this long is gone.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);
/// A connection that plays nothing and asks nothing is closed after this.
const IDLE_PATIENCE: Duration = Duration::from_secs(30);
/// How long, and how many bytes, a client that was given its last answer may take to leave.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);
const UNREAD_MAX: u64 = 64 * 1024;
/// What `Session: …;timeout=` announces, in seconds; a UDP client must be heard of within one and a half of it.
const SESSION_TIMEOUT_S: u64 = 60;
/// A sender report goes out with the first picture and then this often.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// Wrong passwords on one connection before it closes.
const WRONG_MAX: u32 = 5;
/// How long DESCRIBE waits for a source that has not encoded its first picture yet.
const FIRST_PICTURE_PATIENCE: Duration = Duration::from_secs(5);
/// The tracks: the picture, and the sound where the source has one.
const TRACKS: [&str; 2] = ["/trackID=0", "/trackID=1"];
const PICTURE: usize = 0;
const SOUND: usize = 1;

struct Session {
    id: String,
    source: Arc<LiveSource>,
    sets: ParameterSets,
    /// How each track goes out, once it was set up.
    ways: [Option<Way>; 2],
    playing: bool,
    listener: Option<Listener>,
    ear: Option<mpsc::Receiver<Arc<SoundFrame>>>,
}

/// How one track goes out.
struct Way {
    sender: Sender,
    udp: Option<(UdpSocket, UdpSocket)>,
    reported: Option<Instant>,
    /// Packets that could have gone wrong.
    sent: u32,
}

/// What goes out next.
enum Media {
    Picture(Arc<AccessUnit>),
    Sound(Arc<SoundFrame>),
}

struct Client<'a> {
    shared: &'a Shared,
    peer: SocketAddr,
    local: IpAddr,
    session: Option<Session>,
    wrong: u32,
}

enum Next {
    Answer(Response),
    AnswerAndClose(Response),
}

/// Serves one connection until it ends.
pub(super) async fn serve(mut stream: TcpStream, peer: SocketAddr, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?.ip();
    let (mut reader, mut writer) = stream.split();
    let mut client = Client { shared, peer, local, session: None, wrong: 0 };
    let mut input = BytesMut::with_capacity(2 * 1024);
    let mut packets = Packets::default();
    let mut heard = Instant::now();
    let mut scratch = [0u8; 1_500];
    loop {
        let (playing, rtcp) = match &mut client.session {
            Some(session) if session.playing => {
                let udp = session.ways.iter().flatten().find_map(|way| way.udp.as_ref());
                (Some((&mut session.listener, &mut session.ear)), udp.map(|udp| &udp.1))
            }
            Some(_) | None => (None, None),
        };
        let patience = match (&playing, &rtcp) {
            (Some(_), None) => None,
            (Some(_), Some(_)) => Some(Duration::from_secs(SESSION_TIMEOUT_S * 3 / 2)),
            (None, _) => Some(IDLE_PATIENCE),
        };
        tokio::select! {
            n = reader.read_buf(&mut input) => {
                if n? == 0 {
                    return Ok(());
                }
                heard = Instant::now();
                if !client.take_all(&mut input, &mut writer).await? {
                    return close(stream).await;
                }
            }
            media = next_media(playing) => match media {
                Some(media) => client.send(&media, &mut packets, &mut writer).await?,
                None => return Ok(()),
            },
            // Receiver reports are not evaluated; that they come shows that the client lives.
            _ = receive(rtcp, &mut scratch) => heard = Instant::now(),
            () = until(patience.map(|p| heard + p)) => {
                debug!(%peer, "An RTSP client went silent and is closed");
                return Ok(());
            }
        }
    }
}

/// Closes a connection that was given its last answer. What still comes is read and thrown away for a while: closing over
/// unread bytes resets the connection, and then the answer may be lost with it.
pub(super) async fn close(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let (mut unread, mut nowhere) = (stream.take(UNREAD_MAX), tokio::io::sink());
    let left = tokio::time::timeout(CLOSE_PATIENCE, tokio::io::copy(&mut unread, &mut nowhere)).await;
    left.map_or(Ok(()), |read| read.map(drop))
}

type Playing<'a> = (&'a mut Option<Listener>, &'a mut Option<mpsc::Receiver<Arc<SoundFrame>>>);

/// The next of what plays; `None` once the source is gone.
async fn next_media(playing: Option<Playing<'_>>) -> Option<Media> {
    match playing {
        Some((Some(listener), Some(ear))) => tokio::select! {
            unit = listener.next() => unit.map(Media::Picture),
            sound = ear.recv() => sound.map(Media::Sound),
        },
        Some((Some(listener), None)) => listener.next().await.map(Media::Picture),
        Some((None, Some(ear))) => ear.recv().await.map(Media::Sound),
        Some((None, None)) | None => std::future::pending().await,
    }
}

async fn receive(socket: Option<&UdpSocket>, scratch: &mut [u8]) {
    match socket {
        // An error here is an ICMP answer to an earlier packet of ours; the pause keeps it from spinning.
        Some(socket) => {
            if socket.recv(scratch).await.is_err() {
                tokio::time::sleep(Duration::from_millis(200)).await;
                std::future::pending::<()>().await;
            }
        }
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn write(writer: &mut WriteHalf<'_>, bytes: &[u8]) -> io::Result<()> {
    tokio::time::timeout(WRITE_PATIENCE, writer.write_all(bytes)).await.map_err(|_| io::ErrorKind::TimedOut)?
}

impl Client<'_> {
    /// Answers every whole message in `input`; false when the connection is to be closed.
    async fn take_all(&mut self, input: &mut BytesMut, writer: &mut WriteHalf<'_>) -> io::Result<bool> {
        loop {
            match message::decode(input) {
                Ok(None) => return Ok(true),
                Ok(Some((Incoming::Interleaved { .. }, n))) => input.advance(n),
                Ok(Some((Incoming::Request(request), n))) => {
                    input.advance(n);
                    match self.answer(&request).await {
                        Next::Answer(response) => write(writer, &response.encode()).await?,
                        Next::AnswerAndClose(response) => {
                            write(writer, &response.encode()).await?;
                            return Ok(false);
                        }
                    }
                }
                Err(error) => {
                    Counters::count(&self.shared.counters.malformed);
                    debug!(peer = %self.peer, %error, "An RTSP client sent something else");
                    write(writer, &Response::new(400, None).encode()).await?;
                    return Ok(false);
                }
            }
        }
    }

    async fn answer(&mut self, request: &Request) -> Next {
        let cseq = request.header("CSeq");
        let refuse = |status| Next::Answer(Response::new(status, cseq));
        if request.method == "OPTIONS" {
            let methods = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, GET_PARAMETER, TEARDOWN";
            return Next::Answer(Response::new(200, cseq).header("Public", methods));
        }
        let verdict = self.shared.gate.judge(&request.method, &request.uri, request.header("Authorization"));
        if verdict != Verdict::Granted {
            if verdict == Verdict::Wrong {
                self.wrong += 1;
                Counters::count(&self.shared.counters.unauthorized);
            }
            let challenge = self.shared.gate.challenge(verdict == Verdict::Stale);
            let response = Response::new(401, cseq).header("WWW-Authenticate", challenge);
            return if self.wrong >= WRONG_MAX { Next::AnswerAndClose(response) } else { Next::Answer(response) };
        }
        match request.method.as_str() {
            "DESCRIBE" => Next::Answer(self.describe(request, cseq).await),
            "SETUP" => Next::Answer(self.set_up(request, cseq).await),
            "PLAY" => self.in_session(request, cseq, Self::play),
            "PAUSE" => self.in_session(request, cseq, |_, session, ok| {
                (session.playing, session.listener, session.ear) = (false, None, None);
                ok
            }),
            "GET_PARAMETER" | "SET_PARAMETER" if self.session.is_none() => Next::Answer(Response::new(200, cseq)),
            "GET_PARAMETER" | "SET_PARAMETER" => self.in_session(request, cseq, |_, _, ok| ok),
            "TEARDOWN" => {
                let next = self.in_session(request, cseq, |_, _, ok| ok);
                if matches!(&next, Next::Answer(_)) {
                    self.session = None;
                }
                next
            }
            _ => refuse(501),
        }
    }

    /// Runs `then` when the request names our session, else answers 454 (or 455 when none was set up).
    fn in_session(
        &mut self,
        request: &Request,
        cseq: Option<&str>,
        then: impl FnOnce(&Request, &mut Session, Response) -> Response,
    ) -> Next {
        let Some(session) = &mut self.session else { return Next::Answer(Response::new(455, cseq)) };
        let named = request.header("Session").and_then(|s| s.split(';').next()).map(str::trim);
        if named != Some(session.id.as_str()) {
            return Next::Answer(Response::new(454, cseq));
        }
        let ok = Response::new(200, cseq).header("Session", format_args!("{};timeout={SESSION_TIMEOUT_S}", session.id));
        Next::Answer(then(request, session, ok))
    }

    async fn describe(&self, request: &Request, cseq: Option<&str>) -> Response {
        let Some(source) = self.shared.find(request.path()) else { return Response::new(404, cseq) };
        let Some(sets) = source.wait_parameter_sets(FIRST_PICTURE_PATIENCE).await else {
            return Response::new(503, cseq).header("Retry-After", 1);
        };
        let base = request.uri.split('?').next().unwrap_or_default().trim_end_matches('/');
        Response::new(200, cseq)
            .header("Content-Base", format_args!("{base}/"))
            .body("application/sdp", description(&source, &sets, self.local))
    }

    async fn set_up(&mut self, request: &Request, cseq: Option<&str>) -> Response {
        let path = request.path();
        // Who names no track means the picture.
        let named = TRACKS.iter().enumerate().find_map(|(n, track)| Some((n, path.strip_suffix(track)?)));
        let (track, mount) = named.unwrap_or((PICTURE, path));
        let Some(source) = self.shared.find(mount) else { return Response::new(404, cseq) };
        let payload_type = match (track, source.sound()) {
            (PICTURE, _) => PAYLOAD_TYPE,
            (_, Some(sound)) => sound.payload_type(),
            (_, None) => return Response::new(404, cseq),
        };
        if self.session.as_ref().is_some_and(|s| s.playing || !Arc::ptr_eq(&s.source, &source)) {
            return Response::new(455, cseq);
        }
        let Some(transport) = request.header("Transport").and_then(Transport::choose) else {
            return Response::new(461, cseq);
        };
        let Some(sets) = source.wait_parameter_sets(FIRST_PICTURE_PATIENCE).await else {
            return Response::new(503, cseq);
        };
        let (sender, udp, spec) = match transport {
            Transport::Interleaved { rtp } => {
                let sender = Sender::of(payload_type, Some(rtp));
                let spec = format!("RTP/AVP/TCP;unicast;interleaved={rtp}-{};ssrc={:08X}", rtp + 1, sender.ssrc());
                (sender, None, spec)
            }
            Transport::Udp { rtp, rtcp } => {
                let Ok((media, control)) = self.udp_pair(rtp, rtcp).await else { return Response::new(500, cseq) };
                let sender = Sender::of(payload_type, None);
                let port = |s: &UdpSocket| s.local_addr().map_or(0, |a| a.port());
                let (ours, theirs) = ((port(&media), port(&control)), (rtp, rtcp));
                let spec = format!(
                    "RTP/AVP;unicast;client_port={}-{};server_port={}-{};ssrc={:08X}",
                    theirs.0,
                    theirs.1,
                    ours.0,
                    ours.1,
                    sender.ssrc()
                );
                (sender, Some((media, control)), spec)
            }
        };
        let session = self.session.get_or_insert_with(|| Session {
            id: format!("{:016x}", rand::random::<u64>()),
            source,
            sets,
            ways: [None, None],
            playing: false,
            listener: None,
            ear: None,
        });
        session.ways[track] = Some(Way { sender, udp, reported: None, sent: 0 });
        Response::new(200, cseq)
            .header("Transport", spec)
            .header("Session", format_args!("{};timeout={SESSION_TIMEOUT_S}", session.id))
    }

    /// Two sockets on neighbouring ports, the lower one even, connected to the client: nobody else is heard or sent to.
    async fn udp_pair(&self, rtp: u16, rtcp: u16) -> io::Result<(UdpSocket, UdpSocket)> {
        for _ in 0..32 {
            let media = UdpSocket::bind((self.local, 0)).await?;
            let port = media.local_addr()?.port();
            if port % 2 == 1 {
                continue;
            }
            if let Ok(control) = UdpSocket::bind((self.local, port + 1)).await {
                media.connect((self.peer.ip(), rtp)).await?;
                control.connect((self.peer.ip(), rtcp)).await?;
                return Ok((media, control));
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    fn play(request: &Request, session: &mut Session, ok: Response) -> Response {
        let full = || Response::new(503, request.header("CSeq"));
        if !session.playing {
            if session.ways[PICTURE].is_some() {
                let Some(listener) = session.source.listen() else { return full() };
                session.listener = Some(listener);
            }
            if session.ways[SOUND].is_some() {
                let Some(ear) = session.source.hear() else { return full() };
                session.ear = Some(ear);
            }
            session.ways.iter_mut().flatten().for_each(|way| way.reported = None);
            session.playing = true;
        }
        let mut base = request.uri.trim_end_matches('/');
        TRACKS.iter().for_each(|track| base = base.trim_end_matches(track));
        let mut info = Vec::new();
        for (n, way) in session.ways.iter().enumerate() {
            let Some(way) = way else { continue };
            let mut told = format!("url={base}{};seq={}", TRACKS[n], way.sender.next_sequence());
            if let Some(pts) = session.listener.as_ref().filter(|_| n == PICTURE).and_then(Listener::first_pts) {
                told.push_str(&format!(";rtptime={}", way.sender.timestamp(pts)));
            }
            info.push(told);
        }
        ok.header("Range", "npt=now-").header("RTP-Info", info.join(","))
    }

    async fn send(&mut self, media: &Media, packets: &mut Packets, writer: &mut WriteHalf<'_>) -> io::Result<()> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let faults = session.source.faults();
        let (track, pts, captured) = match media {
            Media::Picture(unit) => (PICTURE, unit.pts, unit.captured),
            Media::Sound(frame) => (SOUND, frame.pts, frame.captured),
        };
        let Some(way) = &mut session.ways[track] else { return Ok(()) };
        way.report(pts, captured, &faults, packets, writer).await?;
        packets.clear();
        match media {
            Media::Sound(frame) => way.sender.packetise_sound(frame, packets),
            Media::Picture(unit) => {
                tokio::time::sleep(faults.pause).await;
                // A camera that is set to another size says so with its next key frame.
                if unit.key
                    && let Some(sets) = session.source.parameter_sets()
                {
                    session.sets = sets;
                }
                way.sender.packetise(unit, &session.sets, packets);
                self.shared.counters.sent.fetch_add(1, Ordering::Relaxed);
            }
        }
        packets.suffer(&faults, &mut way.sent);
        match &way.udp {
            None => write(writer, packets.as_bytes()).await,
            Some((media, _)) => {
                for packet in packets.iter() {
                    // A refused packet is the client's closed port; its silence ends the session, not this.
                    let _ = media.send(packet).await;
                }
                Ok(())
            }
        }
    }
}

impl Way {
    /// Sends a sender report when one is due.
    async fn report(
        &mut self,
        pts: u64,
        captured: SystemTime,
        faults: &Faults,
        packets: &mut Packets,
        writer: &mut WriteHalf<'_>,
    ) -> io::Result<()> {
        if self.reported.is_some_and(|at| at.elapsed() < REPORT_EVERY) {
            return Ok(());
        }
        self.reported = Some(Instant::now());
        packets.clear();
        let off = Duration::from_secs(faults.clock_off_s.unsigned_abs().into());
        let told = if faults.clock_off_s < 0 { captured - off } else { captured + off };
        self.sender.report(pts, told, packets);
        match &self.udp {
            Some((_, control)) => {
                let _ = control.send(packets.as_bytes()).await;
                Ok(())
            }
            None => write(writer, packets.as_bytes()).await,
        }
    }
}

/// The session description (RFC 4566) of a live source.
fn description(source: &LiveSource, sets: &ParameterSets, local: IpAddr) -> String {
    let family = if local.is_ipv4() { "IP4" } else { "IP6" };
    let any = if local.is_ipv4() { "0.0.0.0" } else { "::" };
    let name: String = source.name().chars().filter(|c| !c.is_control()).collect();
    let (sps, pps) = (STANDARD.encode(&sets.sps), STANDARD.encode(&sets.pps));
    let (coding, parameters) = match &sets.vps {
        Some(vps) => ("H265", format!("sprop-vps={};sprop-sps={sps};sprop-pps={pps}", STANDARD.encode(vps))),
        None => {
            let level = sets.profile_level_id();
            ("H264", format!("packetization-mode=1;profile-level-id={level};sprop-parameter-sets={sps},{pps}"))
        }
    };
    let mut text = format!(
        "v=0\r\no=- 1 1 IN {family} {local}\r\ns={name}\r\nc=IN {family} {any}\r\nt=0 0\r\na=control:*\r\na=range:npt=now-\r\n\
         m=video 0 RTP/AVP {PAYLOAD_TYPE}\r\na=rtpmap:{PAYLOAD_TYPE} {coding}/90000\r\na=framerate:{}\r\n\
         a=fmtp:{PAYLOAD_TYPE} {parameters}\r\na=control:{}\r\n",
        source.fps(),
        TRACKS[PICTURE].trim_start_matches('/'),
    );
    if let Some(sound) = source.sound() {
        let control = TRACKS[SOUND].trim_start_matches('/');
        let lines = sound.description();
        text.push_str(&format!("m=audio 0 RTP/AVP {}\r\n{lines}a=control:{control}\r\n", sound.payload_type()));
    }
    text
}
