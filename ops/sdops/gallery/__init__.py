"""A folder's pictures as one page: ``collect`` finds them, ``thumbnails`` shrinks them, ``page`` writes."""
