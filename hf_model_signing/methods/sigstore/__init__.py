"""What signing without a key of one's own takes: a trust root, an identity token, the services of Sigstore."""
