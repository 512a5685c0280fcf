//! The agent's orders to deliver, carried out by the session of one control socket.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::plan::Socket;
use super::{RoomNews, wall_clock};
use crate::agent::{
    CertificateId, Delivered, DeliveryFailure, DeliveryOrder, DeliveryRetry, Event, Failure,
    TargetId,
};
use crate::haproxy::{
    self, Address, Arrival, DeliveryError, Fingerprint, Process, ProcessNotice, Processes,
    Quarantine, SessionReport,
};
use crate::text::Printable;

/// Reports of a session that may wait to be translated.
const REPORTS: usize = 256;

/// The name of a control socket's missing rights.
const LEVEL_TOO_LOW: &str = "level_too_low";

/// Runs the session of one control socket and translates between it and the agent.
pub(super) async fn run(
    target: TargetId,
    socket: Socket,
    processes: Arc<Processes>,
    mut orders: mpsc::UnboundedReceiver<DeliveryOrder>,
    events: mpsc::Sender<Event>,
    news: mpsc::UnboundedSender<RoomNews>,
    stop: CancellationToken,
) {
    let Socket { address, settings } = socket;
    let (deliveries, taken) = mpsc::unbounded_channel();
    let (reporter, mut reports) = mpsc::channel(REPORTS);
    let session = haproxy::run(
        address.clone(),
        settings,
        taken,
        reporter,
        processes,
        wall_clock,
        stop.clone(),
    );
    let mut translator = Translator {
        target,
        address,
        quarantined: BTreeMap::new(),
        open: HashMap::new(),
        process: None,
        said: Vec::new(),
    };
    let translate = async {
        loop {
            tokio::select! {
                Some(order) = orders.recv() => {
                    translator.opened(&order);
                    let _ = deliveries.send(haproxy::Offer {
                        policy: order.subject.policy,
                        staple: order.staple,
                        certificate: order.subject.certificate.clone(),
                        issuer: order.subject.issuer.clone(),
                    });
                }
                report = reports.recv() => {
                    let Some(report) = report else {
                        return;
                    };
                    if let Some(told) = translator.news(&report) {
                        let _ = news.send(told);
                    }
                    if let Some(event) = translator.event(report)
                        && events.send(event).await.is_err()
                    {
                        return;
                    }
                }
            }
        }
    };
    let mut session = pin!(session);
    // The session ends first when it is told to stop; the translation ends first when its receiver
    // is gone.
    tokio::select! {
        () = &mut session => return,
        () = translate => {}
    }
    // What it has begun in HAProxy it finishes all the same.
    drop((reports, deliveries));
    session.await;
}

struct Translator {
    target: TargetId,
    address: Address,
    /// The stores in quarantine that have been logged.
    quarantined: BTreeMap<String, Quarantine>,
    /// Whose deliveries are under way: the session knows a certificate by what HAProxy prints.
    /// A certificate that was forgotten and found again has two numbers; the session answers in the
    /// order in which it was asked.
    open: HashMap<Fingerprint, VecDeque<CertificateId>>,
    /// The process that answered last, and what has been said about it.
    process: Option<Process>,
    said: Vec<ProcessNotice>,
}

impl Translator {
    fn opened(&mut self, order: &DeliveryOrder) {
        let fingerprint = order.staple.certificate_fingerprint();
        self.open
            .entry(fingerprint)
            .or_default()
            .push_back(order.certificate);
    }

    fn closed(&mut self, fingerprint: Fingerprint) -> Option<CertificateId> {
        let ids = self.open.get_mut(&fingerprint)?;
        let id = ids.pop_front();
        if ids.is_empty() {
            self.open.remove(&fingerprint);
        }
        id
    }

    /// What is not the agent's business.
    fn news(&self, report: &SessionReport) -> Option<RoomNews> {
        let target = self.target;
        Some(match report {
            SessionReport::Connected(process) => RoomNews::Connected {
                target,
                process: process.clone(),
                problem: process
                    .check_level(&self.address)
                    .err()
                    .map(|error| Failure {
                        kind: LEVEL_TOO_LOW,
                        message: error.to_string(),
                    }),
            },
            SessionReport::Disconnected(error) => RoomNews::Disconnected {
                target,
                problem: Failure {
                    kind: error.kind(),
                    message: error.to_string(),
                },
            },
            SessionReport::Noticed(notices) => RoomNews::Noticed {
                target,
                notices: notices.clone(),
            },
            SessionReport::Circumstances(circumstances) => RoomNews::Circumstances {
                target,
                circumstances: circumstances.clone(),
            },
            SessionReport::Loaded(stores) => RoomNews::Loaded {
                target,
                stores: stores.clone(),
            },
            SessionReport::Quarantined(stores) => RoomNews::Quarantined {
                target,
                stores: stores.clone(),
            },
            SessionReport::Delivered { .. }
            | SessionReport::StoreChanged { .. }
            | SessionReport::StapleUnseen { .. }
            | SessionReport::Serves(_) => return None,
        })
    }

    fn event(&mut self, report: SessionReport) -> Option<Event> {
        let target = self.target;
        let socket = &self.address;
        Some(match report {
            SessionReport::Connected(process) => {
                let (release, pid) = (process.release.text(), process.pid);
                tracing::info!(%socket, "connected to HAProxy {release}, process {pid}");
                if let Err(error) = process.check_level(socket) {
                    tracing::error!(%socket, reason = LEVEL_TOO_LOW, "{error}; staples are written to disk meanwhile");
                }
                if !self
                    .process
                    .as_ref()
                    .is_some_and(|before| before.is(&process))
                {
                    self.said.clear();
                }
                self.process = Some(process);
                Event::Connected(target)
            }
            SessionReport::Noticed(notices) => {
                self.say(notices);
                return None;
            }
            SessionReport::Disconnected(error) => {
                tracing::warn!(%socket, reason = error.kind(), "no connection to HAProxy: {error}");
                Event::Disconnected(target)
            }
            SessionReport::Delivered {
                fingerprint,
                outcome: Err(DeliveryError::NewerHeld(Some(assessment))),
            } => Event::HeldNewer {
                target,
                certificate: self.closed(fingerprint)?,
                assessment,
            },
            SessionReport::Delivered {
                fingerprint,
                outcome,
            } => Event::Delivered {
                target,
                certificate: self.closed(fingerprint)?,
                result: outcome.map(how).map_err(|error| DeliveryFailure {
                    failure: Failure {
                        kind: error.kind(),
                        message: error.to_string(),
                    },
                    retry: retry(&error),
                }),
            },
            SessionReport::Loaded(_) | SessionReport::Circumstances(_) => return None,
            SessionReport::Quarantined(stores) => {
                self.log_quarantined(stores);
                return None;
            }
            SessionReport::Serves(certificates) => Event::Serves {
                target,
                certificates,
            },
            SessionReport::StapleUnseen { certificate } => Event::StapleUnseen {
                target,
                certificate,
            },
            SessionReport::StoreChanged { store, certificate } => {
                tracing::info!(%socket, %store, "HAProxy has another certificate, or no place for its staple any more");
                Event::StoreChanged {
                    target,
                    certificate,
                }
            }
        })
    }

    /// Logs what has not been said about this process.
    fn say(&mut self, notices: Vec<ProcessNotice>) {
        let socket = &self.address;
        for notice in notices.iter().filter(|notice| !self.said.contains(notice)) {
            tracing::warn!(%socket, reason = notice.kind(), "{notice}");
        }
        self.said = notices;
    }

    /// Logs what is new: connections come and go, and the stores stay the same.
    fn log_quarantined(&mut self, stores: BTreeMap<String, Quarantine>) {
        let socket = &self.address;
        for (store, why) in &stores {
            if self.quarantined.get(store) != Some(why) {
                let (store, reason) = (store.printable(), why.kind());
                tracing::warn!(%socket, %store, reason, "certificate store quarantined: {why}");
            }
        }
        for store in self.quarantined.keys() {
            if !stores.contains_key(store) {
                let store = store.printable();
                tracing::info!(%socket, %store, "certificate store no longer quarantined");
            }
        }
        self.quarantined = stores;
    }
}

fn how(delivered: Arrival) -> Delivered {
    match delivered {
        Arrival::Pushed => Delivered::Pushed,
        Arrival::Attached => Delivered::Attached,
        Arrival::AlreadyHeld => Delivered::AlreadyHeld,
    }
}

/// What it takes for another attempt to make sense.
fn retry(error: &DeliveryError) -> DeliveryRetry {
    use DeliveryError as E;
    match error {
        E::Disconnected => DeliveryRetry::NextConnection,
        E::ForeignTransaction | E::Locked | E::StoreGone | E::TransactionLost => {
            DeliveryRetry::Passing
        }
        E::NotHeld | E::OutOfMemory | E::UnexpectedReply(_) => DeliveryRetry::Soon,
        // HAProxy's clock is another one.
        E::Expired
        // The clock was ahead for a moment, else it would not have been ordered.
        | E::ShortLived
        // It ends some day, or the next staple is newer.
        | E::NewerHeld(_)
        // It may come to its end after all, which the session sees.
        | E::CommitUnseen => DeliveryRetry::Later,
        // The session says when this process loads it.
        E::NotLoaded | E::NotShown | E::NotDescribed | E::OtherCertificate => DeliveryRetry::Awaited,
        E::PushWithheld | E::ClientCertificate => DeliveryRetry::ByDesign,
        // So for as long as this connection lasts.
        E::PermissionDenied
        | E::TooBig
        | E::StatusUnknown
        | E::NextUpdateMissing
        | E::SeveralResponses
        | E::CommitFailed
        | E::ForeignCertificate
        | E::CertIdUnusable
        | E::Malformed
        | E::NoSlot
        | E::IssuerMissing
        | E::Unsupported => DeliveryRetry::NextChange,
    }
}
