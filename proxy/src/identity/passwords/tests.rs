use super::*;

fn hash(password: &str) -> Arc<PasswordHash> {
    Arc::new(PasswordHash::parse(&PasswordHash::of(password.as_bytes()).unwrap()).unwrap())
}

fn ask(passwords: &Passwords, hash: &Arc<PasswordHash>, password: &str) -> Option<oneshot::Receiver<bool>> {
    let key = passwords.key(hash, "user", password.as_bytes());
    passwords.ask(key, hash.clone(), password.as_bytes().to_vec())
}

#[test]
fn a_right_password_is_remembered_and_a_wrong_one_is_not() {
    let passwords = Passwords::new(2, 8);
    let hash = hash("right");
    let wait = |password: &str| ask(&passwords, &hash, password).unwrap().blocking_recv().unwrap();
    assert!(wait("right") && !wait("wrong"));
    let remembered = |password: &str| passwords.is_right(&passwords.key(&hash, "user", password.as_bytes()));
    assert!(remembered("right") && !remembered("wrong"));
    assert!(!passwords.is_right(&passwords.key(&hash, "other", b"right")), "under its name alone");
    let changed = Arc::new(PasswordHash::parse(&PasswordHash::of(b"right").unwrap()).unwrap());
    assert!(!passwords.is_right(&passwords.key(&changed, "user", b"right")), "the stored hash has changed");
}

#[test]
fn the_parts_of_a_key_cannot_be_moved_from_one_to_the_other() {
    let passwords = Passwords::new(1, 1);
    let hash = hash("x");
    assert_ne!(passwords.key(&hash, "ab", b"c"), passwords.key(&hash, "a", b"bc"));
    assert_ne!(Passwords::new(1, 1).key(&hash, "a", b"b"), passwords.key(&hash, "a", b"b"), "each process has its own");
}

#[test]
fn no_more_wait_than_may_and_who_has_left_waits_no_more() {
    // Without a thread, everything waits.
    let passwords = Passwords::new(0, 2);
    let hash = hash("x");
    let first = ask(&passwords, &hash, "a").unwrap();
    let _second = ask(&passwords, &hash, "b").unwrap();
    assert!(ask(&passwords, &hash, "c").is_none());
    drop(first);
    let _third = ask(&passwords, &hash, "c").unwrap();
    assert!(ask(&passwords, &hash, "d").is_none());
}

#[test]
fn so_many_are_remembered() {
    let passwords = Passwords::new(0, 1);
    let key = |nth: usize| passwords.hasher.hash(&nth.to_be_bytes());
    (0..=REMEMBERED_MAX).for_each(|nth| passwords.work.remember(key(nth)));
    assert!(passwords.is_right(&key(REMEMBERED_MAX)));
    assert!(passwords.work.state().right.len() <= REMEMBERED_MAX);
}
