PRAGMA application_id = 1751544682;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO "about" VALUES('owner','acme at https://huggingface.co');
INSERT INTO "about" VALUES('run','1');
CREATE TABLE repositories (
    uri TEXT PRIMARY KEY,
    run INTEGER NOT NULL,
    state TEXT NOT NULL,
    settings TEXT NOT NULL,
    head TEXT NOT NULL DEFAULT '',
    after TEXT NOT NULL DEFAULT '',
    tries INTEGER NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0,
    rank INTEGER NOT NULL DEFAULT 0,
    record TEXT NOT NULL
);
INSERT INTO "repositories" VALUES('hf://acme/signed',1,'done','446c9bf68dab7318e149df9b285071f85f4d69d59adbe6d6bf69bfb8c5bb6cc9','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb',0,0.0,8,'{"uri":"hf://acme/signed","kind":"model","name":"acme/signed","status":"signed","url":"https://huggingface.co/acme/signed","revision":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","findings":[],"reason":"","private":false,"gated":false,"signer":"key P-256 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","method":"key","signed_at":"2026-11-20T10:00:00Z","signed_revision":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","digest":"sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc","verified":true,"commit":"https://huggingface.co/acme/signed/commit/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","files":[{"path":"config.json","size":2,"state":"signed"},{"path":"logs/a.txt","size":1,"state":"ignored"},{"path":"x.bin","size":9,"state":"unsigned"}],"file_count":3,"uncovered":["logs/a.txt","x.bin"]}');
INSERT INTO "repositories" VALUES('hf://acme/planned',1,'planned','446c9bf68dab7318e149df9b285071f85f4d69d59adbe6d6bf69bfb8c5bb6cc9','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','',0,0.0,4,'{"uri":"hf://acme/planned","kind":"model","name":"acme/planned","status":"stale","url":"https://huggingface.co/acme/planned","revision":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","findings":["stale"],"reason":"","private":false,"gated":false,"signer":"key P-256 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","method":"key","signed_at":"2026-11-20T10:00:00Z","signed_revision":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","digest":"sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc","verified":true,"commit":"","files":[{"path":"config.json","size":2,"state":"signed"},{"path":"logs/a.txt","size":1,"state":"ignored"},{"path":"x.bin","size":9,"state":"unsigned"}],"file_count":3,"uncovered":["logs/a.txt","x.bin"]}');
INSERT INTO "repositories" VALUES('hf://acme/interrupted',1,'planned, busy','446c9bf68dab7318e149df9b285071f85f4d69d59adbe6d6bf69bfb8c5bb6cc9','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','',0,0.0,1,'{"uri":"hf://acme/interrupted","kind":"model","name":"acme/interrupted","status":"unsigned","url":"https://huggingface.co/acme/interrupted","revision":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","findings":[],"reason":"","private":false,"gated":false,"signer":"","method":"","signed_at":"","signed_revision":"","digest":"","verified":null,"commit":"","files":[],"file_count":0,"uncovered":[]}');
INSERT INTO "repositories" VALUES('hf://acme/listed',1,'listed','446c9bf68dab7318e149df9b285071f85f4d69d59adbe6d6bf69bfb8c5bb6cc9','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','',1,1.79606521334287714958e+09,1,'{"uri":"hf://acme/listed","kind":"model","name":"acme/listed","status":"unsigned","url":"https://huggingface.co/acme/listed","revision":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","findings":[],"reason":"","private":false,"gated":false,"signer":"","method":"","signed_at":"","signed_revision":"","digest":"","verified":null,"commit":"","files":[],"file_count":0,"uncovered":[]}');
INSERT INTO "repositories" VALUES('hf://acme/judging',1,'listed, busy','446c9bf68dab7318e149df9b285071f85f4d69d59adbe6d6bf69bfb8c5bb6cc9','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','',0,0.0,1,'{"uri":"hf://acme/judging","kind":"model","name":"acme/judging","status":"unsigned","url":"https://huggingface.co/acme/judging","revision":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","findings":[],"reason":"","private":false,"gated":false,"signer":"","method":"","signed_at":"","signed_revision":"","digest":"","verified":null,"commit":"","files":[],"file_count":0,"uncovered":[]}');
INSERT INTO "repositories" VALUES('hf://acme/archived',1,'done','446c9bf68dab7318e149df9b285071f85f4d69d59adbe6d6bf69bfb8c5bb6cc9','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','',0,0.0,14,'{"uri":"hf://acme/archived","kind":"model","name":"acme/archived","status":"archived","url":"https://huggingface.co/acme/archived","revision":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","findings":[],"reason":"","private":false,"gated":false,"signer":"","method":"","signed_at":"","signed_revision":"","digest":"","verified":null,"commit":"","files":[],"file_count":0,"uncovered":[]}');
CREATE TABLE steps (time TEXT NOT NULL, uri TEXT NOT NULL, step TEXT NOT NULL, detail TEXT NOT NULL);
INSERT INTO "steps" VALUES('2026-11-30T19:00:05.342+00:00','hf://acme/signed','planned','');
INSERT INTO "steps" VALUES('2026-11-30T19:00:05.342+00:00','hf://acme/signed','hashing','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa');
INSERT INTO "steps" VALUES('2026-11-30T19:00:05.342+00:00','hf://acme/signed','signing','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa');
INSERT INTO "steps" VALUES('2026-11-30T19:00:05.342+00:00','hf://acme/signed','committing','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa');
INSERT INTO "steps" VALUES('2026-11-30T19:00:05.342+00:00','hf://acme/signed','signed','');
INSERT INTO "steps" VALUES('2026-11-30T19:00:05.342+00:00','hf://acme/planned','planned','');
INSERT INTO "steps" VALUES('2026-11-30T19:00:05.342+00:00','hf://acme/interrupted','planned','');
INSERT INTO "steps" VALUES('2026-11-30T19:00:05.342+00:00','hf://acme/listed','postponed','');
CREATE INDEX by_state ON repositories (run, state, not_before);
CREATE INDEX by_rank ON repositories (run, rank, uri);
COMMIT;
