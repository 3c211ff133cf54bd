//! The folder: names, `.metadata`, ledger, commit, the bulk export log.
