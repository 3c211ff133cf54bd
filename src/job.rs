//! Plan, run, resume, finish: the one module that knows all the others.
