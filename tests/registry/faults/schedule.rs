//! What goes wrong with which request, decided by a seed alone.
//!
//! ```text
//!  fault = f(seed, method and path, how often this path was asked for)
//! ```
//!
//! Not by the order of requests, so that a seed gives the same faults again however requests run
//! beside each other. The first half of the kinds are *passing*: a client with patience gets over
//! them. Every second seed is mild: passing faults only, at most two for a path, so the pull must
//! succeed. The others are wild, some with a fault that never ends.

use moorline::failure::Kind;

/// What happens to one answer. Fractions are of the body, in 256ths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Nothing.
    None,
    /// The connection is closed before a byte of the answer.
    CutHead,
    /// It is closed in the middle of the body.
    CutBody(u8),
    /// No byte comes at all.
    StallHead,
    /// The body stops.
    StallBody(u8),
    /// The body comes in small pieces with pauses shorter than the client's patience.
    Throttle,
    /// A status that may pass, with a `Retry-After`.
    Passing(u16, Option<u16>),
    /// A 401 with this `error` in its challenge; without one no challenge at all.
    Unauthorized(Option<&'static str>),
    /// A 403, with a registry's error document or a page.
    Forbidden { json: bool },
    /// One bit of the body is another.
    Flip(u8),
    /// The end of the body is missing, and the length says so.
    Short,
    /// There is more than there should be.
    Long,
    /// Another answer's body.
    Foreign,
    /// The connection is closed when this much of the request's body came; the registry gets it, or
    /// no byte of it. In no seed.
    CutRequest { part: u8, passed_on: bool },
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    Token,
    Manifest,
    Blob,
    Upload,
    Other,
}

impl Class {
    pub fn of(path: &str) -> Self {
        if path.starts_with("/jwt/auth") {
            Self::Token
        } else if path.contains("/manifests/") {
            Self::Manifest
        } else if path.contains("/blobs/uploads/") {
            Self::Upload
        } else if path.contains("/blobs/") {
            Self::Blob
        } else {
            Self::Other
        }
    }
}

impl Fault {
    /// How a pull may end because of it.
    pub fn explains(self, class: Class, kind: Kind) -> bool {
        let token = class == Class::Token;
        match self {
            Self::None | Self::Throttle => false,
            Self::CutHead
            | Self::CutBody(_)
            | Self::StallHead
            | Self::StallBody(_)
            | Self::CutRequest { .. }
            | Self::Passing(..) => kind == Kind::Network,
            Self::Unauthorized(Some("insufficient_scope")) => {
                matches!(kind, Kind::Denied | Kind::NotFound)
            }
            Self::Unauthorized(_) => kind == Kind::Denied,
            Self::Forbidden { .. } => {
                if token {
                    kind == Kind::Denied
                } else {
                    kind == Kind::NotFound
                }
            }
            // a token that is none any more is refused by the registry, or covers nothing
            Self::Flip(_) | Self::Short | Self::Long | Self::Foreign if token => {
                matches!(kind, Kind::Network | Kind::Denied | Kind::NotFound)
            }
            Self::Flip(_) | Self::Short | Self::Long | Self::Foreign => {
                matches!(kind, Kind::Integrity | Kind::Network)
            }
        }
    }
}

/// One seed's faults.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    seed: u64,
    plan: Plan,
}

#[derive(Clone, Copy, Debug)]
enum Plan {
    /// Nothing goes wrong.
    Clear,
    Mild,
    /// One request of a class by its method, the nth of one path.
    Once(&'static str, Class, u32, Fault),
    /// The chance of a fault in 256ths, and one that never ends.
    Wild {
        chance: u8,
        always: Option<(Class, Fault)>,
    },
}

impl Schedule {
    pub fn of(seed: u64) -> Self {
        if seed.is_multiple_of(2) {
            return Self { seed, plan: Plan::Mild };
        }
        let mut dice = Dice::new(seed, "the plan", 0);
        let chance = [20, 60, 140][dice.below(3)];
        let class = [Class::Token, Class::Manifest, Class::Blob][dice.below(3)];
        let always = (dice.below(3) == 0).then(|| (class, wild(&mut dice)));
        Self { seed, plan: Plan::Wild { chance, always } }
    }

    /// Nothing goes wrong.
    pub fn clear() -> Self {
        Self { seed: 0, plan: Plan::Clear }
    }

    /// The same always, for requests of one class.
    pub fn always(class: Class, fault: Fault) -> Self {
        Self { seed: 0, plan: Plan::Wild { chance: 0, always: Some((class, fault)) } }
    }

    /// Only the `nth` time, from 0, that something of a class is asked for with this method.
    pub fn once(method: &'static str, class: Class, nth: u32, fault: Fault) -> Self {
        Self { seed: 0, plan: Plan::Once(method, class, nth, fault) }
    }

    /// Whether a second fault, at the same place of another path, is not meant.
    pub fn is_one_fault(&self) -> bool {
        matches!(self.plan, Plan::Once(..))
    }

    /// Whether a client with patience must get through.
    pub fn must_pass(&self) -> bool {
        matches!(self.plan, Plan::Mild | Plan::Clear)
    }

    /// What happens when `method path` is asked for the `nth` time, from 0.
    pub fn fault(&self, method: &str, path: &str, nth: u32) -> Fault {
        let mut dice = Dice::new(self.seed, &format!("{method} {path}"), nth);
        match self.plan {
            Plan::Mild if nth < 2 && dice.below(2) == 0 => {
                // a token that is refused once is renewed; twice is the end of a request
                if nth == 1 && path.starts_with("/v2/") && dice.below(6) == 0 {
                    Fault::Unauthorized(Some("invalid_token"))
                } else {
                    passing(&mut dice)
                }
            }
            Plan::Once(by, class, at, fault) => {
                let struck = (by, class, at) == (method, Class::of(path), nth);
                if struck { fault } else { Fault::None }
            }
            Plan::Wild { always: Some((class, fault)), .. } if class == Class::of(path) => fault,
            Plan::Wild { chance, .. } if dice.byte() < chance => wild(&mut dice),
            _ => Fault::None,
        }
    }
}

fn passing(dice: &mut Dice) -> Fault {
    match dice.below(8) {
        0 => Fault::CutHead,
        1 | 2 => Fault::CutBody(dice.byte()),
        3 => Fault::StallHead,
        4 => Fault::StallBody(dice.byte()),
        5 => Fault::Throttle,
        6 => Fault::Passing(429, [None, Some(0)][dice.below(2)]),
        _ => Fault::Passing([500, 502, 503, 504][dice.below(4)], None),
    }
}

fn wild(dice: &mut Dice) -> Fault {
    match dice.below(10) {
        0 => Fault::Unauthorized(
            [None, Some("invalid_token"), Some("insufficient_scope")][dice.below(3)],
        ),
        1 => Fault::Forbidden { json: dice.below(2) == 0 },
        2 | 3 => Fault::Flip(dice.byte()),
        4 => Fault::Short,
        5 => Fault::Long,
        6 => Fault::Foreign,
        7 => Fault::Passing(429, Some(3600)),
        _ => passing(dice),
    }
}

/// Splitmix64 from a seed, a text (FNV-1a) and a number.
struct Dice(u64);

impl Dice {
    fn new(seed: u64, text: &str, nth: u32) -> Self {
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut dice = Self(hash ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        dice.0 ^= dice.next() ^ u64::from(nth);
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> usize {
        usize::try_from(self.next() % limit).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[7]
    }
}
