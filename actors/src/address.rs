//! Where each machine can be reached now. A restart replaces the entry: address by name, never keep a reference.

use crate::shell::Message;
use gatehouse_core::device::shadow::{TwinCall, TwinReply};
use gatehouse_core::event::{Audience, Event};
use gatehouse_core::id::DeviceId;
use ractor::ActorRef;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::oneshot;

/// The name of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    /// A device's shell.
    Device(DeviceId),
    /// Fire release.
    LifeSafety,
    /// The other rules.
    Rule,
    /// The rules that operators wrote.
    Operator,
    /// The alarm book.
    Alarm,
    /// Work orders.
    WorkOrder,
}

impl Name {
    /// Those that are there once.
    pub(crate) const OFFICE: [Self; 5] = [Self::LifeSafety, Self::Rule, Self::Operator, Self::Alarm, Self::WorkOrder];

    /// The name of an audience of an event.
    pub fn of(audience: Audience, device: Option<DeviceId>) -> Option<Self> {
        match audience {
            Audience::Device => device.map(Name::Device),
            Audience::LifeSafety => Some(Name::LifeSafety),
            Audience::Rule => Some(Name::Rule),
            Audience::Operator => Some(Name::Operator),
            Audience::Alarm => Some(Name::Alarm),
            Audience::WorkOrder => Some(Name::WorkOrder),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Device(id) => write!(f, "device:{id}"),
            Name::LifeSafety => f.write_str("life_safety"),
            Name::Rule => f.write_str("rule"),
            Name::Operator => f.write_str("operator_rule"),
            Name::Alarm => f.write_str("alarm"),
            Name::WorkOrder => f.write_str("work_order"),
        }
    }
}

type Deliver = Arc<dyn Fn(Arc<Event>) -> bool + Send + Sync>;
type Ask = Arc<dyn Fn(oneshot::Sender<bool>) -> bool + Send + Sync>;
type Reach = Arc<dyn Fn(u64) + Send + Sync>;

struct Mailbox {
    deliver: Deliver,
    ask: Ask,
    reach: Reach,
    depth: Arc<AtomicUsize>,
}

/// A device's shell as others call it.
pub(crate) type DeviceRef = ActorRef<Message<TwinCall, TwinReply>>;

/// The address book.
#[derive(Default)]
pub(crate) struct Addresses {
    mailboxes: RwLock<Mailboxes>,
    devices: RwLock<HashMap<DeviceId, DeviceRef>>,
}

#[derive(Default)]
struct Mailboxes {
    by_name: HashMap<Name, Mailbox>,
    /// Who was told something before it had a mailbox: it must look into the log.
    unheard: HashSet<Name>,
}

/// What a machine learns when it enters.
pub(crate) struct Entered {
    /// Events that wait for it.
    pub depth: Arc<AtomicUsize>,
    /// Whether something was said to it before: what was read of the log until then may lack it.
    pub unheard: bool,
}

impl Addresses {
    /// Enters a machine that starts; its depth counts from 0.
    pub(crate) fn enter<C: Send + 'static, R: Send + 'static>(
        &self,
        name: Name,
        actor: ActorRef<Message<C, R>>,
    ) -> Entered {
        let depth = Arc::new(AtomicUsize::new(0));
        let (asked, reached) = (actor.clone(), actor.clone());
        let deliver: Deliver = Arc::new(move |event| actor.cast(Message::Event(event)).is_ok());
        let ask: Ask = Arc::new(move |answer| asked.cast(Message::Rest(answer)).is_ok());
        let reach: Reach = Arc::new(move |seq| {
            let _ = reached.cast(Message::Reached(seq));
        });
        let mailbox = Mailbox { deliver, ask, reach, depth: depth.clone() };
        let mut mailboxes = self.mailboxes.write().unwrap_or_else(PoisonError::into_inner);
        mailboxes.by_name.insert(name, mailbox);
        Entered { depth, unheard: mailboxes.unheard.remove(&name) }
    }

    pub(crate) fn enter_device(&self, id: DeviceId, actor: DeviceRef) {
        self.devices.write().unwrap_or_else(PoisonError::into_inner).insert(id, actor);
    }

    pub(crate) fn device(&self, id: DeviceId) -> Option<DeviceRef> {
        self.devices.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Gives an event to a machine. One that is down finds it in the log when it is back.
    pub(crate) fn deliver(&self, name: Name, event: &Arc<Event>) {
        let give = |mailbox: &Mailbox| {
            mailbox.depth.fetch_add(1, Ordering::Relaxed);
            if !(mailbox.deliver)(event.clone()) {
                mailbox.depth.fetch_sub(1, Ordering::Relaxed);
            }
        };
        if let Some(mailbox) = self.mailboxes.read().unwrap_or_else(PoisonError::into_inner).by_name.get(&name) {
            return give(mailbox);
        }
        let mut mailboxes = self.mailboxes.write().unwrap_or_else(PoisonError::into_inner);
        match mailboxes.by_name.get(&name) {
            Some(mailbox) => give(mailbox),
            None => {
                mailboxes.unheard.insert(name);
            }
        }
    }

    /// Tells a machine how far the log is.
    pub(crate) fn reached(&self, name: Name, seq: u64) {
        let mailboxes = self.mailboxes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(mailbox) = mailboxes.by_name.get(&name) {
            (mailbox.reach)(seq);
        }
    }

    /// Whether every machine that runs has done what it was told before and has nothing due. For drills.
    pub(crate) async fn rest(&self) -> bool {
        let asks: Vec<Ask> = {
            let mailboxes = self.mailboxes.read().unwrap_or_else(PoisonError::into_inner);
            mailboxes.by_name.values().map(|mailbox| mailbox.ask.clone()).collect()
        };
        let mut rest = true;
        for ask in asks {
            let (answer, answered) = oneshot::channel();
            // One that is down has nothing to do.
            rest &= !ask(answer) || answered.await.unwrap_or(true);
        }
        rest
    }

    /// Whether as many events as may wait for one of these machines.
    pub(crate) fn any_full(&self, mut limits: impl Iterator<Item = (Name, usize)>) -> bool {
        let mailboxes = self.mailboxes.read().unwrap_or_else(PoisonError::into_inner);
        let depth = |name| mailboxes.by_name.get(&name).map_or(0, |mailbox| mailbox.depth.load(Ordering::Relaxed));
        limits.any(|(name, limit)| depth(name) >= limit)
    }

    /// Events that wait for a machine.
    pub(crate) fn depth(&self, name: Name) -> usize {
        let mailboxes = self.mailboxes.read().unwrap_or_else(PoisonError::into_inner);
        mailboxes.by_name.get(&name).map_or(0, |mailbox| mailbox.depth.load(Ordering::Relaxed))
    }
}
