//! Requests on their way: through the real limits, from one URL to the next, to an answer.
//!
//! Plays what `fetch::run` and `run` do with a request. The limits and circuit breakers, the
//! verdict on an answer and its validation are the real ones; what responders say is made by the
//! authority.

use std::sync::Arc;
use std::time::Duration;

use staplerd::agent::{Answered, CacheValidators, CertificateId, Event, RequestFailure};
use staplerd::fetch::{Dismissed, Health, Need, RETRY_AFTER_MAX, Verdict, verdict};
use staplerd::ocsp::{Policy, Standing, verify};

use super::authority::LIES;
use super::responder::Mode;
use super::swarm::Promise;
use super::world::{Happening, Open, World, words};

/// Error statuses that a responder in trouble answers with (RFC 6960 §4.2.1).
const STATUSES: [u8; 5] = [1, 2, 3, 5, 6];

/// A request of the agent's.
pub struct Request {
    pub certificate: CertificateId,
    pub case: usize,
    pub need: Need,
    pub held: Option<Standing>,
    pub is_overdue: bool,
    /// What a responder may compare with to answer 304.
    pub etag: Option<String>,
    /// The URL to be asked now, of those in the certificate.
    pub place: usize,
    /// The best that the URLs before brought.
    pub so_far: Option<Outcome>,
}

/// What came of one URL.
pub struct Outcome {
    result: Result<Answered, RequestFailure>,
    /// The responder said something, useful or not.
    is_answer: bool,
    /// Another URL cannot do better.
    is_settled: bool,
}

impl Outcome {
    fn settled(answer: Answered) -> Self {
        Outcome {
            result: Ok(answer),
            is_answer: true,
            is_settled: true,
        }
    }

    fn failed(failure: RequestFailure) -> Self {
        Outcome {
            result: Err(failure),
            is_answer: false,
            is_settled: false,
        }
    }
}

/// A request at a responder.
pub struct Exchange {
    request: Request,
    mode: Mode,
    begun: Duration,
}

impl World {
    /// Lets a request wait for its responder, or for the next one's, or answers it.
    pub fn ask(&mut self, mut request: Request) -> Option<Event> {
        // The limits' clock runs on while the machine is suspended.
        let now = self.time;
        loop {
            let responders = &self.authority.cases[request.case].responders;
            let Some(responder) = responders.get(request.place) else {
                return Some(self.hand_over(request));
            };
            let name = &self.responders[*responder].name;
            let need = request.need;
            match self.limits.admit(name, request, need, now) {
                Ok(()) => return None,
                Err(dismissed) => request = moved_on_from(dismissed),
            }
        }
    }

    pub fn start_exchanges(&mut self) {
        while let Some((_, request)) = self.limits.start_next() {
            let responder = self.authority.cases[request.case].responders[request.place];
            let mode = self.responders[responder].mode;
            self.count_request(request.case, responder);
            let takes = mode.takes(&mut self.random);
            self.counter += 1;
            let number = self.counter;
            let exchange = Exchange {
                request,
                mode,
                begun: self.time,
            };
            self.exchanges.insert(number, exchange);
            self.plan(takes, Happening::ExchangeEnds(number));
        }
    }

    fn count_request(&mut self, case: usize, responder: usize) {
        self.responders[responder].hour.requests += 1;
        *self.asked.entry(case).or_default() += 1;
        self.figures.requests += 1;
    }

    pub fn exchange_ends(&mut self, number: u64) {
        // Begun by a program that has been restarted since.
        let Some(exchange) = self.exchanges.remove(&number) else {
            return;
        };
        let Exchange {
            mut request,
            mode,
            begun,
        } = exchange;
        let responder = self.authority.cases[request.case].responders[request.place];
        let now = self.time;
        let (health, outcome) = self.answer(&request, responder, mode, now - begun);
        let random = self.random.f64();
        let name = &self.responders[responder].name;
        let certificate = request.need.certificate;
        let dismissed = self.limits.finished(name, certificate, health, now, random);
        let event = if outcome.is_settled {
            self.responders[responder].hour.answers += 1;
            self.figures.from_second_url += u64::from(request.place > 0);
            request.so_far = Some(outcome);
            Some(self.hand_over(request))
        } else {
            self.ask(request.moved_on(outcome))
        };
        if let Some(event) = event {
            self.event(event);
        }
        for dismissed in dismissed {
            if let Some(event) = self.ask(moved_on_from(dismissed)) {
                self.event(event);
            }
        }
        self.start_exchanges();
    }

    /// What the responder says, and what that says about the responder.
    fn answer(
        &mut self,
        request: &Request,
        responder: usize,
        mode: Mode,
        took: Duration,
    ) -> (Health, Outcome) {
        let lost = |kind| (Health::Failed, Outcome::failed(words(kind).into()));
        match mode {
            Mode::Silent => return lost("timeout"),
            Mode::Refusing => return lost("connect_refused"),
            Mode::Flaky if self.random.bool() => return lost("reset"),
            Mode::Busy { retry_after } => {
                let retry_after = retry_after.min(RETRY_AFTER_MAX);
                self.left_alone(responder, retry_after);
                let failure = RequestFailure {
                    failure: words("http_status"),
                    retry_after: Some(retry_after),
                    postponed: false,
                };
                return (Health::Busy(retry_after), Outcome::failed(failure));
            }
            _ => {}
        }
        let truth = self.true_wall();
        let life = self.responders[responder].life;
        let produced = self.authority.produced(request.case, truth, life);
        let etag = produced.to_string();
        let is_lie = mode == Mode::Lying && self.random.u8(0..10) < 7;
        let says_not_modified = match is_lie {
            // That nothing has changed is a lie like others.
            true => self.random.u8(0..8) == 0,
            false => request.etag.as_ref() == Some(&etag),
        };
        let speaks = !matches!(mode, Mode::InTrouble { .. });
        // Some responders say how long their answers stay the newest, and not all of them know.
        let fresh_for = match self.responders[responder].promise {
            Promise::None => None,
            Promise::True => Some(
                produced
                    .saturating_add(self.authority.round(life))
                    .since(truth),
            ),
            Promise::Always(time) => Some(time),
        };
        if request.etag.is_some() && says_not_modified && speaks {
            self.figures.not_modified += 1;
            let answer = Answered {
                assessment: None,
                fresh_for,
                validators: CacheValidators::default(),
            };
            return (Health::Answered(took), Outcome::settled(answer));
        }
        let bytes = match mode {
            Mode::InTrouble { passing } => {
                self.figures.error_statuses += 1;
                let status = match passing {
                    true => 2 + self.random.u8(0..2),
                    false => STATUSES[self.random.usize(0..STATUSES.len())],
                };
                vec![0x30, 0x03, 0x0a, 0x01, status]
            }
            _ if is_lie => {
                self.figures.lies += 1;
                let lie = LIES[self.random.usize(0..LIES.len())];
                self.authority.lie(lie, request.case, truth, life)
            }
            _ => self.authority.response(request.case, truth, life),
        };
        let (health, mut outcome) = self.judge(request, responder, &bytes, took);
        if let Ok(answer) = &mut outcome.result {
            answer.fresh_for = fresh_for;
            answer.validators.etag = (!is_lie).then_some(etag);
        }
        (health, outcome)
    }

    /// What the program makes of an answer, as `run` and `fetch` do.
    fn judge(
        &mut self,
        request: &Request,
        responder: usize,
        bytes: &[u8],
        took: Duration,
    ) -> (Health, Outcome) {
        let subject = Arc::clone(&self.authority.cases[request.case].subject);
        let wall = self.wall();
        let judged = verify(bytes, subject.as_ocsp(), None, wall, Policy::default());
        let verdict = verdict(judged, request.held.as_ref(), request.is_overdue, wall);
        if matches!(verdict, Verdict::Outdated(_) | Verdict::OtherForm(_)) {
            // Asked once more, past the caches or by POST; the answer is the same.
            self.count_request(request.case, responder);
        }
        let health = match verdict {
            Verdict::Unable(_) => Health::Failed,
            _ => Health::Answered(took),
        };
        let is_settled = matches!(verdict, Verdict::Settled(_));
        let (Verdict::Settled(judged)
        | Verdict::Outdated(judged)
        | Verdict::OtherForm(judged)
        | Verdict::NextUrl(judged)
        | Verdict::Unable(judged)) = verdict;
        let result = match judged {
            Ok(assessment) => Ok(Answered {
                assessment: Some(assessment),
                fresh_for: None,
                validators: CacheValidators::default(),
            }),
            Err(rejection) => Err(words(rejection.kind()).into()),
        };
        let outcome = Outcome {
            result,
            is_answer: true,
            is_settled,
        };
        (health, outcome)
    }

    /// The end of a request: what the agent learns, and what it owes from now on.
    fn hand_over(&mut self, request: Request) -> Event {
        let Request {
            certificate,
            case,
            so_far,
            ..
        } = request;
        self.open.remove(&Open::Request(certificate));
        let result = match so_far {
            Some(outcome) => outcome.result,
            None => Err(words("no_url").into()),
        };
        if let Ok(Answered {
            assessment: Some(assessment),
            ..
        }) = &result
        {
            match &assessment.stapling {
                Ok(staple) => self.promise_successor(case, staple),
                Err(reason) if reason.kind() == "revoked" => {
                    let newest = self.newest.get(&case);
                    let standing = assessment.standing();
                    let is_old = newest.is_some_and(|(newest, _)| standing.this_update < *newest);
                    if !is_old || standing.status.revoked_for_ever().is_some() {
                        self.told_revoked.insert(case);
                    }
                }
                Err(_) => {}
            }
        }
        Event::Answered {
            certificate,
            result,
        }
    }
}

impl Request {
    /// Goes on to the next URL; an answer outranks a failure, and that outranks not having been
    /// asked.
    fn moved_on(mut self, outcome: Outcome) -> Self {
        let worth = |outcome: &Outcome| match &outcome.result {
            _ if outcome.is_answer => 2,
            Err(failure) if failure.postponed => 0,
            _ => 1,
        };
        let before = self.so_far.as_ref().map(worth);
        if before.is_none_or(|before| before <= worth(&outcome)) {
            self.so_far = Some(outcome);
        }
        self.place += 1;
        self
    }
}

/// A request that was sent away from a responder, on its way to the next.
fn moved_on_from(dismissed: Dismissed<Request>) -> Request {
    let failure = RequestFailure {
        failure: words("circuit_open"),
        retry_after: Some(dismissed.retry_after),
        postponed: true,
    };
    dismissed.job.moved_on(Outcome::failed(failure))
}
