//! Everything the black-box tests share.
