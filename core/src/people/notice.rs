//! The notice that goes before a consent to face recognition: who, why, how, for how long, which rights.
//!
//! After PIPL art. 17 and 30. Its version follows from its words: a site that changes its name, its contact or the text asks
//! everyone again, and no one can forget to count up.

use crate::site::FaceConsentDef;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Counts changes of the template below that a reader should notice; the rest of the version follows from the words.
const EDITION: &str = "1";

/// Where versions come from (v5 namespace, drawn once).
const NAMESPACE: Uuid = Uuid::from_u128(0x5c1d_79b2_41f6_4f0e_9a55_0f6c_8d21_7e34);

/// Digits of the part of a version that follows from the words.
const DIGITS: usize = 8;

const ZH: &str = "\
一、谁处理：{controller}。联系方式：{contact}。
二、目的：仅用于您在{site}刷脸开门。不用于考勤、营销、情绪分析、追踪行踪或其他目的。
三、方式：现场拍摄或上传至少三张照片，由本园区的服务器算出一组数字（人脸特征模板）。照片算完即弃，拍摄时用于检查清晰度的画面也不保存。之后门口的摄像机把看到的人脸与模板比对；认作您时，一张画面随记录保存；陌生人的画面不保存。
四、保存：模板用您个人的密钥加密，只存放在本园区的服务器及有人脸功能的门禁设备上，不经互联网传输，不提供给第三方；直到您撤回同意、搬离或不再需要为止，备份副本随备份到期删除。每{days}天会再次征求您的同意。
五、必要性与影响：人脸信息属于敏感个人信息，一旦泄露可能被人冒用。您可以不同意：能刷脸的每个门都至少另有两种进门方式，不同意没有任何费用，也不影响服务。
六、您的权利：您可以随时撤回同意，也可以查阅、复制、更正、删除，到服务台或用上述联系方式提出即可。撤回后几秒内不再能刷脸开门，密钥当即销毁，有人脸功能的设备逐台确认删除。
七、不满十四周岁的，由父母或其他监护人同意。";

const EN: &str = "\
1. Who: {controller}. Contact: {contact}.
2. Purpose: only to open doors at {site} by face. Not for attendance, marketing, reading emotions, following anyone or anything else.
3. How: at least three photographs are taken here or uploaded; this site's own server makes a list of numbers of them (a face template). The photographs are dropped as soon as it is made, and the pictures that are checked for sharpness while you stand before the camera are not kept either. Cameras at the doors then compare faces with the template; when one is taken for yours, a picture is kept with the record; of strangers none is.
4. Storage: the template is encrypted with a key of your own and lies only on this site's server and at door terminals that keep faces. It is not sent over the Internet or given to third parties. It is kept until you withdraw, move out or no longer need it; copies in backups go when the backups do. You are asked again every {days} days.
5. Necessity and impact: a face is sensitive personal information; if it leaked, someone could pose as you. You may say no: every door that opens by face has at least two other ways in, and saying no costs nothing and changes no service.
6. Your rights: withdraw at any time, see, copy, correct or delete: ask at the desk or by the contact above. Within seconds of withdrawing your face opens no door, the key is destroyed at once, and each terminal that keeps faces confirms the deletion.
7. For a person under 14, a parent or other guardian consents.";

/// The notice of a site, in its languages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaceNotice {
    /// Stored with every consent: changes with every word.
    pub version: String,
    /// In Chinese.
    pub zh: String,
    /// In English.
    pub en: String,
    /// Days after which a person is asked again.
    pub renew_days: u32,
}

impl FaceNotice {
    /// The notice of a site by its names, and who answers for faces there.
    pub fn new(name: &str, name_zh: &str, def: &FaceConsentDef) -> Self {
        let fill = |text: &str, site: &str, controller: &str| {
            text.replace("{controller}", controller)
                .replace("{contact}", &def.contact)
                .replace("{site}", site)
                .replace("{days}", &def.renew_days.to_string())
        };
        let or = |zh: &str, other: &str| if zh.is_empty() { other.to_owned() } else { zh.to_owned() };
        let zh = fill(ZH, &or(name_zh, name), &or(&def.controller_zh, &def.controller));
        let en = fill(EN, name, &def.controller);
        let words = Uuid::new_v5(&NAMESPACE, format!("{zh}\n{en}").as_bytes()).simple().to_string();
        let version = format!("{EDITION}.{}", &words[..DIGITS]);
        Self { version, zh, en, renew_days: def.renew_days }
    }

    /// The text in a language: `zh` or `en`.
    pub fn text(&self, lang: &str) -> Option<&str> {
        match lang {
            "zh" => Some(&self.zh),
            "en" => Some(&self.en),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn def(contact: &str) -> FaceConsentDef {
        FaceConsentDef {
            controller: "Yard Property Ltd".into(),
            controller_zh: "院子物业".into(),
            contact: contact.into(),
            renew_days: 365,
        }
    }

    #[test]
    fn the_notice_names_who_and_for_how_long_and_its_version_follows_its_words() {
        let notice = FaceNotice::new("Yard", "院子", &def("desk, 555"));
        assert!(notice.zh.contains("院子物业") && notice.zh.contains("每365天"), "{}", notice.zh);
        assert!(notice.en.contains("Yard Property Ltd. Contact: desk, 555."), "{}", notice.en);
        assert!(!notice.zh.contains('{') && !notice.en.contains('{'), "every blank is filled");
        assert_eq!(notice, FaceNotice::new("Yard", "院子", &def("desk, 555")));
        assert_ne!(notice.version, FaceNotice::new("Yard", "院子", &def("desk, 556")).version);
        assert_eq!((notice.text("en"), notice.text("fr")), (Some(notice.en.as_str()), None));
    }
}
