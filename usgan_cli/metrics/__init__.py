"""How far generated images are from real ones: pure functions on arrays, and the step that scores a folder."""
