"""The API server's client: requests, streams of one kind each (the reflector), credentials, kubeconfig, Events."""
