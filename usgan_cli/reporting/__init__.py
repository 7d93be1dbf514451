"""The report of a study: what its records say, in one page, with its figures and tables as files beside it."""
