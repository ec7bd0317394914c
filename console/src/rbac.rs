//! Who may do what: roles are sets of permissions, and every route names the one it needs.

use serde::Serialize;

/// One thing that a role may be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Permission {
    /// Anyone, signed in or not: the sign-in page and its parts.
    #[serde(rename = "public")]
    Public,
    /// Anyone signed in.
    #[serde(rename = "session")]
    Session,
    /// See places, devices, their state and the event timeline.
    #[serde(rename = "device.read")]
    DeviceRead,
    /// Command doors, barriers and other devices.
    #[serde(rename = "device.command")]
    DeviceCommand,
    /// See live video, recordings and pictures.
    #[serde(rename = "video.read")]
    VideoRead,
    /// Show what the active challenge of a door asks.
    #[serde(rename = "screen.read")]
    ScreenRead,
    /// See alarms.
    #[serde(rename = "alarm.read")]
    AlarmRead,
    /// Acknowledge, shelve, comment and follow procedures.
    #[serde(rename = "alarm.handle")]
    AlarmHandle,
    /// See passages and access records.
    #[serde(rename = "access.read")]
    AccessRead,
    /// Answer a guard's question at a lane.
    #[serde(rename = "access.decide")]
    AccessDecide,
    /// Say what the plate of a wrong read is.
    #[serde(rename = "access.correct")]
    AccessCorrect,
    /// Edit watch lists.
    #[serde(rename = "watch.write")]
    WatchWrite,
    /// See people and their credentials.
    #[serde(rename = "people.read")]
    PeopleRead,
    /// Change people, credentials and faces.
    #[serde(rename = "people.write")]
    PeopleWrite,
    /// See work orders.
    #[serde(rename = "work_order.read")]
    WorkOrderRead,
    /// Move work orders.
    #[serde(rename = "work_order.write")]
    WorkOrderWrite,
    /// Walk a video patrol and attest its stops.
    #[serde(rename = "patrol.walk")]
    PatrolWalk,
    /// Plan the routes of video patrols.
    #[serde(rename = "patrol.plan")]
    PatrolPlan,
    /// See the rules that operators wrote.
    #[serde(rename = "rule.read")]
    RuleRead,
    /// Write rules and switch them on and off.
    #[serde(rename = "rule.write")]
    RuleWrite,
    /// See the system's health.
    #[serde(rename = "health.read")]
    HealthRead,
    /// Operate the program: start its stopped parts again, switch targets of notices, send again.
    #[serde(rename = "system.operate")]
    SystemOperate,
    /// Take backups.
    #[serde(rename = "backup.run")]
    BackupRun,
    /// Play the demo's stories.
    #[serde(rename = "demo.play")]
    DemoPlay,
    /// Manage accounts.
    #[serde(rename = "user.manage")]
    UserManage,
    /// Read the audit log.
    #[serde(rename = "audit.read")]
    AuditRead,
}

impl Permission {
    /// Every permission a role can hold.
    pub const ALL: [Permission; 24] = [
        Permission::DeviceRead,
        Permission::DeviceCommand,
        Permission::VideoRead,
        Permission::ScreenRead,
        Permission::AlarmRead,
        Permission::AlarmHandle,
        Permission::AccessRead,
        Permission::AccessDecide,
        Permission::AccessCorrect,
        Permission::WatchWrite,
        Permission::PeopleRead,
        Permission::PeopleWrite,
        Permission::WorkOrderRead,
        Permission::WorkOrderWrite,
        Permission::PatrolWalk,
        Permission::PatrolPlan,
        Permission::RuleRead,
        Permission::RuleWrite,
        Permission::HealthRead,
        Permission::SystemOperate,
        Permission::BackupRun,
        Permission::DemoPlay,
        Permission::UserManage,
        Permission::AuditRead,
    ];

    /// The word used on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Permission::Public => "public",
            Permission::Session => "session",
            Permission::DeviceRead => "device.read",
            Permission::DeviceCommand => "device.command",
            Permission::VideoRead => "video.read",
            Permission::ScreenRead => "screen.read",
            Permission::AlarmRead => "alarm.read",
            Permission::AlarmHandle => "alarm.handle",
            Permission::AccessRead => "access.read",
            Permission::AccessDecide => "access.decide",
            Permission::AccessCorrect => "access.correct",
            Permission::WatchWrite => "watch.write",
            Permission::PeopleRead => "people.read",
            Permission::PeopleWrite => "people.write",
            Permission::WorkOrderRead => "work_order.read",
            Permission::WorkOrderWrite => "work_order.write",
            Permission::PatrolWalk => "patrol.walk",
            Permission::PatrolPlan => "patrol.plan",
            Permission::RuleRead => "rule.read",
            Permission::RuleWrite => "rule.write",
            Permission::HealthRead => "health.read",
            Permission::SystemOperate => "system.operate",
            Permission::BackupRun => "backup.run",
            Permission::DemoPlay => "demo.play",
            Permission::UserManage => "user.manage",
            Permission::AuditRead => "audit.read",
        }
    }
}

/// What a person signs in as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the installation: everything.
    Admin,
    /// Sits at the control room's desk.
    Operator,
    /// Stands at the gate or walks the round.
    Guard,
    /// Keeps lifts, panels and meters running.
    Engineer,
    /// Manages the property: people, orders, reports.
    Manager,
    /// Nobody: the screen beside a door.
    Screen,
}

impl Role {
    /// Every role, the mightiest first.
    pub const ALL: [Role; 6] = [Role::Admin, Role::Operator, Role::Guard, Role::Engineer, Role::Manager, Role::Screen];

    /// The role named by a stored or sent word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }

    /// The word used in the store and on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Operator => "operator",
            Role::Guard => "guard",
            Role::Engineer => "engineer",
            Role::Manager => "manager",
            Role::Screen => "screen",
        }
    }

    /// Whether the role holds the permission.
    pub fn may(self, permission: Permission) -> bool {
        use Permission as P;
        match permission {
            P::Public | P::Session => true,
            P::DeviceRead | P::AlarmRead | P::WorkOrderRead => self != Role::Screen,
            P::ScreenRead => matches!(self, Role::Admin | Role::Operator | Role::Engineer | Role::Screen),
            P::VideoRead => matches!(self, Role::Admin | Role::Operator | Role::Guard),
            P::DeviceCommand => matches!(self, Role::Admin | Role::Operator | Role::Guard | Role::Engineer),
            P::AlarmHandle => matches!(self, Role::Admin | Role::Operator | Role::Guard),
            P::AccessRead => matches!(self, Role::Admin | Role::Operator | Role::Guard | Role::Manager),
            P::AccessDecide => matches!(self, Role::Admin | Role::Operator | Role::Guard),
            P::AccessCorrect => matches!(self, Role::Admin | Role::Operator),
            P::WatchWrite => matches!(self, Role::Admin | Role::Operator | Role::Manager),
            P::PeopleRead => matches!(self, Role::Admin | Role::Operator | Role::Manager),
            P::PeopleWrite => matches!(self, Role::Admin | Role::Manager),
            P::WorkOrderWrite => matches!(self, Role::Admin | Role::Operator | Role::Engineer | Role::Manager),
            P::PatrolWalk => matches!(self, Role::Admin | Role::Operator | Role::Guard),
            P::PatrolPlan => matches!(self, Role::Admin | Role::Operator),
            P::RuleRead => matches!(self, Role::Admin | Role::Operator | Role::Engineer | Role::Manager),
            P::RuleWrite => matches!(self, Role::Admin | Role::Engineer),
            P::HealthRead => matches!(self, Role::Admin | Role::Operator | Role::Engineer),
            P::SystemOperate => matches!(self, Role::Admin | Role::Engineer),
            P::DemoPlay => matches!(self, Role::Admin | Role::Operator),
            P::UserManage | P::AuditRead | P::BackupRun => matches!(self, Role::Admin),
        }
    }

    /// The permissions the role holds, as words.
    pub fn permissions(self) -> Vec<String> {
        Permission::ALL.into_iter().filter(|p| self.may(*p)).map(|p| p.word().to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_roles_come_back_and_only_the_admin_manages_accounts() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.word()), Some(role));
            assert_eq!(role.may(Permission::UserManage), role == Role::Admin);
        }
        assert_eq!(Role::parse("root"), None);
        assert_eq!(Role::Screen.permissions(), ["screen.read"], "a screen that is taken off the wall tells nothing");
    }
}
