//! What only a real kick-off tells: whether it is taken, how type filters are read, what a status answer looks like. Every
//! export that is started is deleted at once.

use super::report::State;
use super::server::{hint, words};
use super::{Exam, cors};
use crate::bulk::cleanup;
use crate::bulk::kickoff::{KickoffParams, choose, request};
use crate::config::KickoffMethod;
use crate::fhir::capability::Stu;
use crate::http::{Call, Reply, Retry};
use crate::platform::{Method, Platform};

/// A filter that every server with patients can read, and that has a comma.
const FILTER: &str = "Patient?gender=male,female";

/// What came of a kick-off.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Trial {
    /// Taken, and deleted.
    Taken,
    /// Refused because of what was asked (400, 422).
    Refused(String),
    /// Refused because of the method (405, 415, 501).
    WrongMethod(String),
    /// Anything else.
    Failed(String, String),
}

impl<P: Platform> Exam<'_, '_, P> {
    /// Kicks off as an export would; then with filters; then by the other method.
    pub(super) async fn trial(&mut self) {
        if self.config.in_browser && !self.seen.same_origin && !self.seen.shows_more {
            let found = "not tried: the browser would hide the address by which an export is cancelled";
            return self.note("trial", State::Warning, found, "");
        }
        let plain =
            KickoffParams { level: self.level.clone(), types: vec!["Patient".to_owned()], ..KickoffParams::default() };
        let escaped = KickoffParams { type_filters: vec![FILTER.to_owned()], ..plain.clone() };
        let as_it_is = [("_typeFilter".to_owned(), FILTER.to_owned())];
        let unescaped = KickoffParams { extra: as_it_is.to_vec(), ..plain.clone() };
        let mut method = choose(&self.capability, &plain, KickoffMethod::Auto).0;
        let mut first = self.kick_off(&escaped, method).await;
        if matches!(first, Trial::WrongMethod(_)) {
            self.learn(method, &first);
            method = other(method);
            first = self.kick_off(&escaped, method).await;
        }
        // In STU4 there is no list that a comma could end.
        let is_list = self.capability.export(&plain.level, accepts(method)).stu != Some(Stu::Stu4);
        let second = match first {
            Trial::Taken | Trial::Refused(_) if is_list => self.kick_off(&unescaped, method).await,
            _ => first.clone(),
        };
        self.facts.escaped_commas = match (&first, &second) {
            (Trial::Taken, Trial::Refused(_)) => Some(true),
            (Trial::Refused(_), Trial::Taken) => Some(false),
            _ => None,
        };
        let main = match (&first, &second) {
            (Trial::Taken, _) | (_, Trial::Taken) => Trial::Taken,
            (Trial::Refused(_), _) => self.kick_off(&plain, method).await,
            _ => first,
        };
        self.learn(method, &main);
        match main {
            Trial::Taken => {
                self.exportable = Some(true);
                if self.taken(other(method)).is_none() {
                    let again = self.kick_off(&plain, other(method)).await;
                    self.learn(other(method), &again);
                }
                let found = match self.facts.started {
                    1 => "an export was started and deleted".to_owned(),
                    count => format!("{count} exports were started and deleted"),
                };
                self.note("trial", State::Good, found, "");
            }
            Trial::Refused(why) | Trial::WrongMethod(why) => {
                self.note("trial", State::Failure, format!("the kick-off was refused: {why}"), "");
            }
            Trial::Failed(why, meaning) => self.note("trial", State::Failure, why, meaning),
        }
    }

    fn taken(&self, method: Method) -> Option<bool> {
        if method == Method::Get { self.facts.kickoff_get } else { self.facts.kickoff_post }
    }

    fn learn(&mut self, method: Method, trial: &Trial) {
        let known = if method == Method::Get { &mut self.facts.kickoff_get } else { &mut self.facts.kickoff_post };
        match trial {
            Trial::Taken => *known = Some(true),
            Trial::WrongMethod(_) => *known = Some(false),
            _ => {}
        }
    }

    async fn kick_off(&mut self, params: &KickoffParams, method: Method) -> Trial {
        let operation = self.capability.export(&params.level, accepts(method));
        let call = request::build(self.client.base(), params, &operation, method).call;
        let reply = match self.probe.send(call).await {
            Ok(reply) => reply,
            Err(error) => return Trial::Failed(error.message.clone(), hint(&error)),
        };
        self.look_at(&reply);
        let answer = format!("{}{}", reply.status, words(&reply));
        match reply.status {
            202 => self.end(&reply).await,
            400 | 422 => Trial::Refused(answer),
            405 | 415 | 501 => Trial::WrongMethod(answer),
            _ => Trial::Failed(format!("a kick-off is answered with {answer}"), String::new()),
        }
    }

    /// Looks at the status once and deletes the job.
    async fn end(&mut self, reply: &Reply) -> Trial {
        self.facts.started += 1;
        self.seen.export = Some(reply.headers.clone());
        let Some(location) = reply.headers.get("content-location") else {
            let (why, meaning) = if reply.headers_filtered {
                (
                    "the export was taken, but the browser hides the Content-Location header",
                    "The server must send 'Access-Control-Expose-Headers: Content-Location'. The export goes on there.",
                )
            } else {
                ("the export was taken without a Content-Location header", "It cannot be followed, nor be deleted.")
            };
            return Trial::Failed(why.to_owned(), meaning.to_owned());
        };
        let status_url = match self.client.resolve(location, &reply.url) {
            Ok(url) => url,
            Err(error) => return Trial::Failed(error.message.clone(), hint(&error)),
        };
        if self.seen.status.is_none() {
            let call = Call::get("doctor", &status_url).header("Accept", "application/fhir+json").retry(Retry::Never);
            if let Ok(status) = self.probe.send(call).await {
                self.look_at(&status);
                self.seen.status = Some(cors::allows(&status.headers, &self.origin));
            }
        }
        let deleted = cleanup::delete(self.client, &status_url, Retry::Brief).await;
        if let Some(why) = deleted.message() {
            self.note("trial", State::Warning, "an export could not be cancelled", why);
        }
        Trial::Taken
    }
}

/// Versions of the standard that have the method.
fn accepts(method: Method) -> impl Fn(Stu) -> bool {
    move |stu| method == Method::Post || stu < Stu::Stu4
}

fn other(method: Method) -> Method {
    if method == Method::Get { Method::Post } else { Method::Get }
}
