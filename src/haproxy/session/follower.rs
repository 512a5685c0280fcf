//! Several control sockets of one process: one session serves it, the others hand theirs over.
//!
//! HAProxy has one transaction and one lock for all its clients, and 3.4.0 does not survive two
//! that are busy at once. So the second session closes its connection, passes its deliveries to the
//! first one, and gets the reports of the first one. When the first ends, each connects anew.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Conversation, Ended, Parting, PendingOffer, Session};
use crate::haproxy::error::{DeliveryError, Error};
use crate::haproxy::notice::ProcessNotice;
use crate::haproxy::offer::Offer;
use crate::haproxy::outcome::SessionReport;
use crate::haproxy::process::Process;
use crate::haproxy::processes::{Handed, ServingSession};
use crate::time::Timestamp;

impl From<Offer> for PendingOffer {
    /// One of this session's own.
    fn from(delivery: Offer) -> Self {
        PendingOffer {
            delivery,
            answer: None,
        }
    }
}

impl<Now: Fn() -> Timestamp> Session<Now> {
    /// Hands everything to the session that serves the process, until that ends.
    pub(super) async fn follow(
        &mut self,
        mut process: Process,
        server: ServingSession,
        stop: &CancellationToken,
    ) -> Parting {
        // What counts is what the other connection may do.
        process.level = server.level;
        let second = ProcessNotice::SecondSocket {
            first: server.address.clone(),
        };
        let following = server.orders.send(Handed::Follow(self.reports.clone()));
        let reports = [
            SessionReport::Connected(process),
            SessionReport::Noticed(vec![second]),
        ];
        for report in reports {
            if self.report(report).await.is_err() {
                return Parting::Ended;
            }
        }
        if following.is_err() {
            return Parting::Lost(Error::Closed);
        }
        loop {
            let delivery = tokio::select! {
                biased;
                () = stop.cancelled() => return Parting::Ended,
                () = server.orders.closed() => return Parting::Lost(Error::Closed),
                delivery = self.deliveries.recv() => delivery,
            };
            let Some(delivery) = delivery else {
                return Parting::Ended;
            };
            let handed = Handed::Deliver(delivery, self.reports.clone());
            if let Err(mpsc::error::SendError(Handed::Deliver(delivery, _))) =
                server.orders.send(handed)
            {
                let order = PendingOffer::from(delivery);
                let answer = self.answer(&order, Err(DeliveryError::Disconnected));
                if answer.await.is_err() {
                    return Parting::Ended;
                }
                return Parting::Lost(Error::Closed);
            }
        }
    }

    /// Reports something about the process's stores to all whose sockets lead to it.
    pub(super) async fn report_to_all(
        &self,
        conversation: &mut Conversation,
        report: SessionReport,
    ) -> Result<(), Ended> {
        for follower in &conversation.followers {
            // One that is gone does not concern this session.
            let _ = follower.send(report.clone()).await;
        }
        self.report(report).await
    }
}

impl Conversation {
    /// Takes what another session hands over: a delivery, or that it wants to be told.
    pub(super) fn accept(&mut self, handed: Handed) -> Option<PendingOffer> {
        match handed {
            Handed::Deliver(delivery, answer) => Some(PendingOffer {
                delivery,
                answer: Some(answer),
            }),
            Handed::Follow(reports) => {
                self.new_followers.push(reports);
                None
            }
        }
    }

    /// Tells those who are new what has been told of the stores.
    pub(super) async fn tell_new_followers(&mut self) {
        for follower in std::mem::take(&mut self.new_followers) {
            if let Some(circumstances) = &self.told.circumstances {
                let report = SessionReport::Circumstances(circumstances.clone());
                let _ = follower.send(report).await;
            }
            if let Some(names) = &self.told.loaded {
                let _ = follower.send(SessionReport::Loaded(names.clone())).await;
            }
            if let Some(served) = &self.told.served {
                let served = served.iter().cloned().collect();
                let _ = follower.send(SessionReport::Serves(served)).await;
            }
            let quarantined = self.told.quarantined.clone().unwrap_or_default();
            let _ = follower.send(SessionReport::Quarantined(quarantined)).await;
            self.followers.push(follower);
        }
        self.followers.retain(|follower| !follower.is_closed());
    }
}
