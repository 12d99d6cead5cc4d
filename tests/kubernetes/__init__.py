"""The Kubernetes manifests, checked without a cluster."""
