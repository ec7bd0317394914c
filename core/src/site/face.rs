//! What a site says of faces: who answers for them, and that no door is opened by a face alone.

use super::{DeviceDef, Site};
use crate::access::{EntryMethod, OTHER_WAYS};
use crate::device::link::DeviceKind;
use crate::people::FaceNotice;
use std::collections::BTreeSet;

impl Site {
    /// Whether a face opens this door, by a camera or at its own terminal.
    pub fn opens_by_face(&self, device: &DeviceDef) -> bool {
        device.kind == DeviceKind::Door && (device.faces || self.face_doors.iter().any(|pair| pair.door == device.key))
    }

    /// The notice that everyone is shown before they consent, where the site says who answers for faces.
    pub fn face_notice(&self) -> Option<FaceNotice> {
        self.face_consent.as_ref().map(|def| FaceNotice::new(&self.name, &self.name_zh, def))
    }

    /// What does not fit: field and sentence.
    pub(super) fn check_faces(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        for device in &self.devices {
            wrong.extend(self.check_methods(device).map(|what| (format!("devices[{}].methods", device.key), what)));
        }
        for (at, pair) in self.face_doors.iter().enumerate() {
            let other = self.face_doors[..at].iter().find(|other| other.camera == pair.camera);
            if let Some(other) = other.filter(|other| other.challenge != pair.challenge) {
                let what = format!(
                    "differs from that of {:?}, which the same camera opens: give both the same",
                    other.door.as_str()
                );
                wrong.push((format!("face_doors[{at}].challenge"), what));
            }
        }
        let faces = !self.face_doors.is_empty() || self.devices.iter().any(|device| device.faces);
        match &self.face_consent {
            None if faces => wrong.push((
                "face_consent".to_owned(),
                "is missing: say who answers for the faces and where people turn, e.g. \
                 face_consent = { controller = \"Yard Property Ltd\", contact = \"the desk, telephone 555\" }"
                    .to_owned(),
            )),
            None => {}
            Some(def) => {
                for (field, text) in [("controller", &def.controller), ("contact", &def.contact)] {
                    if text.trim().is_empty() {
                        let what = "is empty: the notice before a consent must name it";
                        wrong.push((format!("face_consent.{field}"), what.to_owned()));
                    }
                }
                if def.renew_days == 0 {
                    wrong.push(("face_consent.renew_days".to_owned(), "is 0: nobody could ever consent".to_owned()));
                }
            }
        }
        wrong
    }

    fn check_methods(&self, device: &DeviceDef) -> Option<String> {
        let ways: BTreeSet<_> = device.methods.iter().copied().collect();
        if device.kind != DeviceKind::Door {
            let kind = device.kind.word();
            return (!ways.is_empty()).then(|| format!("only a door has ways in, this is a {kind}"));
        }
        if ways.contains(&EntryMethod::Face) {
            return Some("\"face\" is not written here: it follows from face_doors and faces".to_owned());
        }
        if ways.len() < device.methods.len() {
            return Some("names one way in twice".to_owned());
        }
        if !self.opens_by_face(device) || ways.len() >= OTHER_WAYS {
            return None;
        }
        let has = match ways.first() {
            Some(way) => format!("this one has {:?} only", way.word()),
            None => "this one has none".to_owned(),
        };
        let remedy = "add others that it has, e.g. methods = [\"card\", \"intercom\"], or take the face away";
        Some(format!("a door that opens by face needs {OTHER_WAYS} other ways in, {has}: {remedy}"))
    }
}
