//! Keeps vision's gallery of faces in step with the people who consented.

use crate::app::App;
use gatehouse_actors::{ConsentInput, FaceInput, System};
use gatehouse_vision::Vision;
use gatehouse_vision::enrol;
use gatehouse_vision::recognizer::Recognizer;
use std::sync::Arc;

/// How the demo's resident consented: the picture is a free portrait, not a person of this site.
const DEMO_CHANNEL: &str = "demo: a freely licensed portrait, see LICENCES.txt in the demo's folder";

/// Gives vision the gallery now and after every change.
pub async fn follow(system: System, vision: Vision, recognizer: Arc<Recognizer>) {
    let mut changed = system.gallery_changed();
    loop {
        match system.gallery().await {
            Ok(gallery) => vision.set_gallery(enrol::gallery(
                (recognizer.face_model(), recognizer.face_dimension()),
                gallery.faces.into_iter().map(|face| (face.person, face.template, face.model)),
            )),
            Err(error) => {
                tracing::error!(%error, "Faces could not be read from the store: the doors keep the last gallery")
            }
        }
        if changed.changed().await.is_err() {
            return;
        }
    }
}

/// Enrols the demo's resident from the demo's photograph, as the console would, unless enrolled.
pub async fn enrol_demo_face(app: &App, recognizer: &Arc<Recognizer>) -> anyhow::Result<()> {
    let Some(demo) = app.demo() else { return Ok(()) };
    let Some((name, photo)) = demo.resident() else { return Ok(()) };
    let people = app.system().people(&name, 2).await?;
    let Some(person) = people.into_iter().find(|person| person.name == name && !person.face.enrolled) else {
        return Ok(());
    };
    let model = recognizer.face_model().to_owned();
    let recognizer = recognizer.clone();
    let template = move || anyhow::Ok(enrol::template(&recognizer, &std::fs::read(&photo)?)?);
    let consent = ConsentInput {
        version: app.system().face_notice()?.version,
        lang: "en".to_owned(),
        channel: DEMO_CHANNEL.to_owned(),
        under_14: false,
        born: None,
        guardian: None,
    };
    app.system().consent_give(person.id, consent, "demo").await?;
    let templates = vec![tokio::task::spawn_blocking(template).await??];
    let input = FaceInput { templates, model };
    app.system().face_set(person.id, input, "demo").await?;
    Ok(())
}
