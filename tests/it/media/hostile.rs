//! Files that were made to hurt: they cost a class of failure on their asset, and nothing else.
