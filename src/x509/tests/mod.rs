//! What PEM files, certificates and DER are read as, and what is refused.

mod bundle;
mod certificate;
mod der;
mod issuer;

use std::sync::LazyLock;

use crate::pki::World;

static WORLD: LazyLock<World> = LazyLock::new(World::new);
