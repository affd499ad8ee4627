//! The entry against folders, real and made up.
