//! Published names and shapes of the parameters.
