"""Networks to compare the coach with. Each is built by one file, has the call signature of `export.model.Coach`, gives `Heads`
and is trained by `export.train.train`."""
