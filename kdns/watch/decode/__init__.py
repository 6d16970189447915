"""What the API server writes, decoded and packed into `kdns.base.objects`. Pure."""
