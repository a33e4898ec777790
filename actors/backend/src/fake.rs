//! A scripted backend (written by the actors helper).
