"""What a researcher writes beside the library: each file is named in a recipe, see docs/extend.md."""
