"""One collection of any layout of paintings: a table of works, one split a work, and prepared images.

- ``collect``, ``options``: make a collection; what ``morelli collect`` is asked for
- ``sources``: the layouts: ArtGAN lists, a table, class folders, a Hub data set
- ``names``, ``filters``, ``corrections``: mend names, choose works, apply a person's decisions on labels
- ``images``, ``preparing``, ``store``: decode and repair one image, prepare many, keep them
- ``duplicates``, ``splits``: works that look the same; one split a work, kept by its id
- ``ledger``: every repair, rejection and note
- ``collection``, ``selection``: open a collection; the works that a filter leaves
"""
