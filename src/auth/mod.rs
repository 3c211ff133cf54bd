//! Credentials: SMART Backend Services, bearer and basic.
