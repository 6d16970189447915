"""The small languages of Corefiles: ``template``, ``expr``, patterns and log formats. Pure."""
