//! The clients that are being served: bounded, so that one user's clients do not keep another's
//! away.
//!
//! Pure. A client that has not said yet what it wants is silent. If there are too many, the one
//! that has been silent longest is dropped, of the same user first.

/// Clients of one user at once.
const OF_ONE_USER: usize = 16;
/// Clients at once.
const ALL: usize = 64;

/// The clients that are being served, the oldest first.
#[derive(Debug, Default)]
pub(super) struct ControlClients {
    served: Vec<ControlClient>,
    last: u64,
}

#[derive(Debug)]
struct ControlClient {
    number: u64,
    user: u32,
    is_silent: bool,
}

/// What becomes of a new client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Admission {
    /// It has this number.
    Admitted(u64),
    /// The same, and another one is let go for it.
    Instead {
        /// Its number.
        number: u64,
        /// The one that has to go.
        of: u64,
    },
    /// No other client can be dropped for it.
    Refused,
}

impl ControlClients {
    /// A client of this user comes.
    pub(super) fn come(&mut self, user: u32) -> Admission {
        let of_user = self.served.iter().filter(|it| it.user == user).count();
        let leaver = match (of_user >= OF_ONE_USER, self.served.len() >= ALL) {
            (true, _) => self.longest_silent(user),
            (false, true) => self.longest_silent(self.most_served()),
            (false, false) => {
                return Admission::Admitted(self.add(user));
            }
        };
        match leaver {
            Some(of) => {
                self.go(of);
                let number = self.add(user);
                Admission::Instead { number, of }
            }
            None => Admission::Refused,
        }
    }

    /// A client has said what it wants.
    pub(super) fn asked(&mut self, number: u64) {
        for client in &mut self.served {
            client.is_silent &= client.number != number;
        }
    }

    /// A client is gone.
    pub(super) fn go(&mut self, number: u64) {
        self.served.retain(|client| client.number != number);
    }

    fn add(&mut self, user: u32) -> u64 {
        self.last += 1;
        self.served.push(ControlClient {
            number: self.last,
            user,
            is_silent: true,
        });
        self.last
    }

    fn longest_silent(&self, user: u32) -> Option<u64> {
        let mut silent = self.served.iter().filter(|client| client.is_silent);
        silent
            .find(|client| client.user == user)
            .map(|client| client.number)
    }

    /// The user with the most silent clients.
    fn most_served(&self) -> u32 {
        let silent = |user: u32| {
            let clients = self.served.iter();
            let silent = clients.filter(|client| client.is_silent && client.user == user);
            silent.count()
        };
        let users = self.served.iter().map(|client| client.user);
        users.max_by_key(|user| silent(*user)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_silent_clients_of_one_user_the_oldest_goes() {
        let mut clients = ControlClients::default();
        for number in 1..=OF_ONE_USER as u64 {
            assert_eq!(clients.come(7), Admission::Admitted(number));
        }
        clients.asked(1);
        let number = OF_ONE_USER as u64 + 1;
        assert_eq!(clients.come(7), Admission::Instead { number, of: 2 });
        assert_eq!(clients.come(8), Admission::Admitted(number + 1));
    }

    #[test]
    fn who_has_asked_is_never_sent_away() {
        let mut clients = ControlClients::default();
        for number in 1..=OF_ONE_USER as u64 {
            clients.come(7);
            clients.asked(number);
        }
        assert_eq!(clients.come(7), Admission::Refused);
        clients.go(3);
        assert!(matches!(clients.come(7), Admission::Admitted(_)));
    }

    #[test]
    fn however_many_users_there_are_a_new_one_comes_in_as_long_as_somebody_is_silent() {
        let mut clients = ControlClients::default();
        for user in 0..1000 {
            assert_ne!(clients.come(user), Admission::Refused, "{user}");
            assert!(clients.served.len() <= ALL);
        }
    }
}
