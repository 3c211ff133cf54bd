//! The folder that is read, as a host of its own.

use crate::platform::{Platform, Storage};

/// The same host at work in its second folder ([`Platform::source`]).
pub(super) struct AtSource<'p, P: Platform> {
    host: &'p P,
    storage: P::Storage,
}

impl<'p, P: Platform> AtSource<'p, P> {
    pub(super) fn new(host: &'p P) -> Self {
        Self { host, storage: host.source().within("") }
    }
}

impl<P: Platform> Platform for AtSource<'_, P> {
    type Http = P::Http;
    type Storage = P::Storage;
    type Clock = P::Clock;
    type Random = P::Random;
    type Signer = P::Signer;
    type Observer = P::Observer;
    type Transfers = P::Transfers;

    fn http(&self) -> &P::Http {
        self.host.http()
    }
    fn storage(&self) -> &P::Storage {
        &self.storage
    }
    fn clock(&self) -> &P::Clock {
        self.host.clock()
    }
    fn random(&self) -> &P::Random {
        self.host.random()
    }
    fn signer(&self) -> &P::Signer {
        self.host.signer()
    }
    fn observer(&self) -> &P::Observer {
        self.host.observer()
    }
    fn transfers(&self) -> &P::Transfers {
        self.host.transfers()
    }

    fn within(&self, folder: &str) -> Self {
        Self { host: self.host, storage: self.storage.within(folder) }
    }
}
